import type { Logger } from '@sever/enforcement';

/** A logger that writes one JSON object a line, so that nothing in a field can start a line of its own. */
export function jsonLines(
  out: { write(text: string): unknown },
  now: () => Date = () => new Date(),
): Logger {
  const write = (level: string) => (fields: object, message: string) => {
    out.write(`${JSON.stringify({ time: now().toISOString(), level, message, ...fields })}\n`);
  };
  return { info: write('info'), warn: write('warn'), error: write('error') };
}
