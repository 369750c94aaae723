import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** Starts the sample as a process of its own, which ends when our end of its standard input closes. */
export function startSample(url: string, key: string): { stop(): Promise<void> } {
  const child = spawn(process.execPath, [join(__dirname, '..', 'bin', 'sever.js'), 'sample'], {
    env: { ...process.env, SEVER_URL: url, SEVER_KEY: key },
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.once('error', (error) => process.stderr.write(`sever: no sample: ${error.message}\n`));
  return {
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
