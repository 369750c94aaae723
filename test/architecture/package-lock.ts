interface LockedPackage {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}

export interface PackageLock {
  packages: Record<string, LockedPackage>;
}

/** Packages whose archive is named by its address: that address is of the machine that wrote the lock. */
export function addressesIn(lock: PackageLock): string[] {
  return Object.entries(lock.packages).flatMap(([path, { resolved }]) =>
    resolved && /^[a-z+]+:/i.test(resolved) ? [path] : [],
  );
}

/**
 * Optional dependencies that the lock leaves out. `npm install` writes such a lock without a word when a registry lacks
 * a package for some other platform; `npm ci` then refuses it.
 */
export function missingOptionals(lock: PackageLock): string[] {
  return Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !lookupPaths(path, name).some((place) => place in lock.packages))
      .map((name) => `${path || 'the project'} → ${name}`),
  );
}

/** Where Node would look for it, from the package's own folder up to the root. */
function lookupPaths(path: string, name: string): string[] {
  const folders = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
  const starts = ['', ...folders.filter((folder) => folder && !folder.endsWith('node_modules'))];
  return starts.map((start) => `${start}${start && '/'}node_modules/${name}`);
}
