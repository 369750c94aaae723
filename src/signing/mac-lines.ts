import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Lines of text that only a holder of the key can have written: `<HMAC-SHA-256, base64url> <text>`. For files beside the
 * database, which are read before anything else can vouch for them.
 */
export class MacLines {
  constructor(private readonly key: Uint8Array) {}

  /** @param text one line, without a line break */
  write(text: string): string {
    return `${this.mac(text).toString('base64url')} ${text}`;
  }

  /** The text, or `null` when the line was changed, or written under another key. */
  read(line: string): string | null {
    const space = line.indexOf(' ');
    const [given, text] = [Buffer.from(line.slice(0, space), 'base64url'), line.slice(space + 1)];
    const expected = this.mac(text);
    return given.length === expected.length && timingSafeEqual(given, expected) ? text : null;
  }

  private mac(text: string): Buffer {
    return createHmac('sha256', this.key).update(text).digest();
  }
}
