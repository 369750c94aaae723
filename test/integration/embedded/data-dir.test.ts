import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDataDir, prepareDataDir } from '../../../src/embedded/data-dir';
import { readOrCreateSecret } from '../../../src/embedded/secrets';
import { createRunFolder } from '../../support/run-folder';

describe('the data dir', () => {
  let folder: string;
  beforeEach(() => void (folder = createRunFolder('test-data-dir')));

  it('is made with its parents, and the topmost new folder is told', () => {
    const dataDir = join(folder, 'a', 'b', 'c');
    expect(createDataDir(dataDir)).toBe(join(folder, 'a'));
    expect(statSync(dataDir).isDirectory()).toBe(true);
    expect(createDataDir(dataDir)).toBeUndefined();
  });

  it('may be a link to a folder', () => {
    mkdirSync(join(folder, 'real'));
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    prepareDataDir(join(folder, 'link'));
    expect(existsSync(join(folder, 'real'))).toBe(true);
  });

  it.each([
    ['a file', (at: string) => writeFileSync(at, '')],
    ['a link to nothing', (at: string) => symlinkSync(join(at, '..', 'gone'), at)],
  ])('cannot be %s, nor lie below it, and the message names the setting', async (_what, make) => {
    const at = join(folder, 'taken');
    make(at);
    for (const dataDir of [at, join(at, 'below')]) {
      expect(() => prepareDataDir(dataDir)).toThrow(/^SEVER_DATA_DIR: .*taken.* is no folder/);
      await expect(readOrCreateSecret(dataDir, 'bootstrap.key')).rejects.toThrow('SEVER_DATA_DIR');
    }
  });

  // The kernel refuses new folders there with the code that stands for a missing parent.
  (process.platform === 'linux' ? it : it.skip)('is refused at once below /proc', () => {
    expect(() => prepareDataDir('/proc/sever/data')).toThrow(
      /^SEVER_DATA_DIR: \/proc\/sever\/data/,
    );
  });

  // Root may write anywhere.
  (process.getuid?.() === 0 ? it.skip : it)('must be one that we may write into', () => {
    chmodSync(folder, 0o555);
    expect(() => prepareDataDir(folder)).toThrow(/^SEVER_DATA_DIR: .*EACCES/);
    expect(() => prepareDataDir(join(folder, 'new'))).toThrow(/^SEVER_DATA_DIR: .*EACCES/);
  });
});
