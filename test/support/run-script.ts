import { spawn } from 'node:child_process';

export interface ScriptResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a Node script to its end. `onError` sees what it writes to its error output, as it comes. */
export async function runScript(
  script: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
  onError: (text: string) => void = () => undefined,
): Promise<ScriptResult> {
  const child = spawn(process.execPath, [script, ...args], { env: { ...process.env, ...env } });
  const result: ScriptResult = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (result.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => {
    result.stderr += chunk.toString('utf8');
    onError(chunk.toString('utf8'));
  });
  result.code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return result;
}
