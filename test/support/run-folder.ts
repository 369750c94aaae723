import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for this process alone, gone once the process is, even if that is killed. */
export function createRunFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `sever-${name}-`));
  // Under root, Postgres runs as another user and must be able to pass through.
  chmodSync(folder, 0o711);
  removeWhenWeAreGone(folder);
  return folder;
}

/** A shell that sees its input end when this process dies, however it dies; then it waits for the servers to let go. */
function removeWhenWeAreGone(folder: string): void {
  const script =
    'cat >/dev/null; for i in 1 2 3 4 5 6; do rm -rf "$0" && break; sleep 1; done; sleep 2; rm -rf "$0"';
  const shell = spawn('/bin/sh', ['-c', script, folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
}
