import { addressesIn, missingOptionals, type PackageLock } from './package-lock';
import { read } from './project-files';

describe('package-lock.json', () => {
  const lock = JSON.parse(read('package-lock.json')) as PackageLock;

  it('names no address, so that it installs from whatever registry a machine uses', () => {
    expect(Object.keys(lock.packages).length).toBeGreaterThan(300);
    expect(addressesIn(lock)).toEqual([]);
  });

  it('holds every optional package, so that `npm ci` accepts it', () => {
    expect(missingOptionals(lock)).toEqual([]);
  });

  it('is found out when it does not', () => {
    const broken: PackageLock = {
      packages: {
        '': {},
        'packages/cli': { resolved: 'packages/cli' },
        'node_modules/a': {
          resolved: 'https://example.test/a.tgz',
          optionalDependencies: { b: '1' },
        },
        'node_modules/c': { optionalDependencies: { d: '1', e: '1' } },
        'node_modules/c/node_modules/d': {},
        'node_modules/e': {},
      },
    };
    expect(addressesIn(broken)).toEqual(['node_modules/a']);
    expect(missingOptionals(broken)).toEqual(['node_modules/a → b']);
  });
});
