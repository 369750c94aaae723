import { posix } from 'node:path';
import ts from 'typescript';

/** Capabilities of the control plane, each allowed to import what stands before it. Those on one line stand alone. */
const ORDER = [
  ['config'],
  ['database', 'broker'],
  ['signing'],
  ['lineage'],
  ['access'],
  ['audit'],
  ['credentials'],
  ['agents'],
  ['stream'],
  ['enforcement'],
  ['revocation'],
  ['drills', 'calls'],
  ['operations'],
  ['connectors', 'signals', 'live', 'embedded', 'demo'],
];

/** The command of the repository wraps the published ones; the demo uses Sever as its users do. */
const WRAPS_PACKAGES: [path: string, packages: string[]][] = [
  ['src/sever.ts', ['cli', 'sidecar']],
  ['src/demo/', ['cli']],
  // A drill looks from outside, with the code that everybody else looks with.
  ['src/drills/', ['cli']],
];

/** Which packages of this repository a package may build on. */
const PACKAGE_ORDER: Record<string, string[]> = {
  protocol: [],
  enforcement: ['protocol'],
  sidecar: ['protocol', 'enforcement'],
  cli: ['protocol'],
  nestjs: ['protocol', 'enforcement'],
  mcp: ['protocol', 'enforcement'],
};

const SEMANTICS = 'packages/protocol/src/semantics/';
const TYPEORM_HOMES = [/^src\/database\//, /\.store\.ts$/, /\.entity\.ts$/];
const NATS_HOMES = [/^src\/broker\//, /^packages\/enforcement\//];

/** Dependencies declared by each package's manifest: what is merely hoisted is missing once installed elsewhere. */
export type DeclaredDependencies = Record<string, string[]>;

/** What the source file may not import, one sentence each. `file` is its path from the root, with forward slashes. */
export function forbiddenImports(
  file: string,
  source: string,
  declared: DeclaredDependencies = {},
): string[] {
  const imported = ts
    .preProcessFile(source, true, true)
    .importedFiles.map((found) => found.fileName);
  return imported.flatMap((specifier) => {
    const target = specifier.startsWith('.')
      ? posix.join(posix.dirname(file), specifier)
      : specifier;
    const reason =
      semanticsReason(file, specifier, target) ??
      capabilityReason(file, target) ??
      packageReason(file, target) ??
      libraryReason(file, target) ??
      manifestReason(file, target, declared);
    return reason ? [`${file} imports ${specifier}: ${reason}`] : [];
  });
}

function semanticsReason(file: string, specifier: string, target: string): string | null {
  if (!file.startsWith(SEMANTICS)) return null;
  const within = specifier.startsWith('.') && target.startsWith(SEMANTICS);
  return within ? null : 'the rules in protocol/semantics depend on nothing';
}

function capabilityReason(file: string, target: string): string | null {
  if (!file.startsWith('src/')) return null;
  if (target.startsWith('packages/')) return 'packages are imported by name';
  if (!target.startsWith('src/')) return null;
  const from = capabilityOf(file);
  const to = capabilityOf(target);
  // What lies in src itself (boot, app module, command) composes the capabilities, and may import them all.
  if (from === to || from === null) return null;
  if (to === null) return 'no capability knows the composition';
  if (rank(from) === null) return `${from} has no place in the order of capabilities yet`;
  if (rank(to) === null) return `${to} has no place in the order of capabilities yet`;
  return (rank(to) ?? 0) < (rank(from) ?? 0) ? null : `${from} comes before ${to}, or beside it`;
}

function packageReason(file: string, target: string): string | null {
  const wanted = /^@sever\/([a-z]+)(\/|$)/.exec(target)?.[1];
  const home = /^packages\/([a-z]+)\//.exec(file)?.[1];
  if (home) {
    if (target.startsWith('src/')) return 'a package knows nothing of the control plane';
    if (target.startsWith('packages/') && !target.startsWith(`packages/${home}/`))
      return 'packages are imported by name';
    if (!wanted || wanted === home || PACKAGE_ORDER[home]?.includes(wanted)) return null;
    return `${home} builds on ${PACKAGE_ORDER[home]?.join(', ') || 'no other package'} only`;
  }
  if (!wanted || wanted === 'protocol' || !file.startsWith('src/')) return null;
  return WRAPS_PACKAGES.some(
    ([path, packages]) => file.startsWith(path) && packages.includes(wanted),
  )
    ? null
    : 'the control plane shares only the protocol with its clients';
}

function libraryReason(file: string, target: string): string | null {
  const inside = (homes: RegExp[]): boolean => homes.some((home) => home.test(file));
  if (/^(typeorm|@nestjs\/typeorm)(\/|$)/.test(target) && !inside(TYPEORM_HOMES))
    return 'TypeORM stays in database/, stores and entities';
  if (/^@nats-io\//.test(target) && !inside(NATS_HOMES))
    return 'NATS stays in broker/ and packages/enforcement';
  return null;
}

function manifestReason(
  file: string,
  target: string,
  declared: DeclaredDependencies,
): string | null {
  const home = /^packages\/([a-z]+)\/src\//.exec(file)?.[1];
  const dependencies = home ? declared[home] : undefined;
  if (!dependencies || target.startsWith('packages/') || target.startsWith('node:')) return null;
  const name = target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
  return dependencies.includes(name) ? null : `${name} is not in the package's dependencies`;
}

function capabilityOf(path: string): string | null {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? null;
}

function rank(capability: string): number | null {
  const found = ORDER.findIndex((line) => line.includes(capability));
  return found === -1 ? null : found;
}
