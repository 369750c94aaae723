// Compiles the packages and the control plane into their dist folders. Does nothing when nothing changed.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const runtime = path.join(root, '.runtime');
const require = createRequire(import.meta.url);
const packages = ['protocol', 'enforcement', 'sidecar', 'cli', 'nestjs', 'mcp'];
const outputs = ['dist', ...packages.map((name) => `packages/${name}/dist`)];
const stampFile = path.join(root, 'dist', '.stamp');

try {
  await withLock(runtime, 'build.lock', build);
} catch (error) {
  // What swc and Nest say is meant for people; our own stack adds nothing to it.
  console.error(`sever: build failed\n${error.message ?? error}`);
  process.exitCode = 1;
}

async function build() {
  const inputs = fingerprint();
  if (upToDate(inputs)) return;
  const draft = path.join(runtime, `build-${process.pid}`);
  rmSync(draft, { recursive: true, force: true });
  try {
    await compilePackages(draft);
    compileControlPlane(draft);
    writeFileSync(path.join(draft, 'dist', '.stamp'), inputs);
    for (const output of outputs) swapIn(draft, output);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** One digest over name, size and time of everything that the output depends on. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = [
    ...['.swcrc', 'nest-cli.json', 'tsconfig.base.json', 'package-lock.json', 'scripts/build.mjs'],
    ...['src', ...packages.map((name) => `packages/${name}/src`)].flatMap(filesUnder),
  ];
  for (const file of files.sort()) {
    const { size, mtimeMs } = statSync(path.join(root, file));
    hash.update(`${file}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function upToDate(inputs) {
  return (
    outputs.every((output) => existsSync(path.join(root, output))) &&
    existsSync(stampFile) &&
    readFileSync(stampFile, 'utf8') === inputs
  );
}

async function compilePackages(draft) {
  const { transformFile } = require('@swc/core');
  const options = JSON.parse(readFileSync(path.join(root, '.swcrc'), 'utf8'));
  delete options.$schema;
  for (const name of packages) {
    const source = `packages/${name}/src`;
    const output = path.join(draft, `packages/${name}/dist`);
    mkdirSync(output, { recursive: true });
    await Promise.all(
      filesUnder(source)
        .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
        .map(async (file) => {
          const target = path.join(output, path.relative(source, file).replace(/\.ts$/, '.js'));
          // Relative to where the output will lie in the end, not to where it is drafted.
          const sourceFileName = path.relative(
            path.dirname(path.join(root, `packages/${name}/dist`, path.relative(source, file))),
            path.join(root, file),
          );
          const { code, map } = await transformFile(path.join(root, file), {
            ...options,
            swcrc: false,
            sourceFileName,
          });
          mkdirSync(path.dirname(target), { recursive: true });
          const mapName = `${path.basename(target)}.map`;
          writeFileSync(target, map ? `${code}//# sourceMappingURL=${mapName}\n` : code);
          if (map) writeFileSync(`${target}.map`, map);
        }),
    );
  }
}

/** `nest build`, told by a tsconfig of its own to write into the draft. */
function compileControlPlane(draft) {
  mkdirSync(path.join(draft, 'dist'), { recursive: true });
  const tsconfig = path.join(draft, 'tsconfig.json');
  writeFileSync(
    tsconfig,
    JSON.stringify({
      extends: path.join(root, 'tsconfig.base.json'),
      compilerOptions: { outDir: path.join(draft, 'dist') },
      files: [],
    }),
  );
  const nest = require.resolve('@nestjs/cli/bin/nest.js');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [nest, 'build', '-p', path.relative(root, tsconfig)],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`nest build failed:\n${stdout}${stderr}`);
}

/** Two renames, so that a process that is just starting finds the old output or the new one, hardly ever none. */
function swapIn(draft, output) {
  const target = path.join(root, output);
  const old = path.join(draft, 'old', output);
  mkdirSync(path.dirname(old), { recursive: true });
  if (existsSync(target)) renameSync(target, old);
  renameSync(path.join(draft, output), target);
}

function filesUnder(folder) {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)));
}
