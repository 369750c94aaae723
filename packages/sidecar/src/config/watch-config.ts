import { unwatchFile, watchFile } from 'node:fs';

/** How often the file is looked at. By its times rather than by events, which a swapped link or a mount does not send. */
const LOOK_MS = 1_000;

interface SignalSource {
  on(signal: 'SIGHUP', listener: () => void): unknown;
  off(signal: 'SIGHUP', listener: () => void): unknown;
}

/**
 * Tells of every SIGHUP, and of every change of the file.
 *
 * @returns ends the watch
 */
export function watchConfig(path: string, signals: SignalSource, onChange: () => void): () => void {
  const onLook = (
    now: { mtimeMs: number; ino: number; size: number },
    before: typeof now,
  ): void => {
    // A file that is being swapped is not there for a moment: what was read before stays in force.
    if (now.ino === 0) return;
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino || now.size !== before.size) {
      onChange();
    }
  };
  watchFile(path, { interval: LOOK_MS, persistent: false }, onLook);
  signals.on('SIGHUP', onChange);
  return () => {
    unwatchFile(path, onLook);
    signals.off('SIGHUP', onChange);
  };
}
