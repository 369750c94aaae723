import { execFileSync } from 'node:child_process';
import { forbiddenImports, type DeclaredDependencies } from './import-rules';
import { projectFiles, read, ROOT } from './project-files';

describe('the direction of imports', () => {
  it('holds in the whole project', () => {
    // Tests may reach across: they play the other side.
    const sources = projectFiles('src', 'packages').filter((file) =>
      /^(src|packages\/[a-z]+\/src)\/.*(?<!\.d)\.ts$/.test(file),
    );
    expect(sources.length).toBeGreaterThan(50);
    const declared = declaredDependencies();
    expect(sources.flatMap((file) => forbiddenImports(file, read(file), declared))).toEqual([]);
  });

  it('lets the rules of protocol/semantics compile where there is neither Node nor a browser', () => {
    const compiler = require.resolve('typescript/bin/tsc');
    const project = 'packages/protocol/src/semantics/tsconfig.json';
    expect(
      execFileSync(process.execPath, [compiler, '-p', project], { cwd: ROOT, encoding: 'utf8' }),
    ).toBe('');
  });

  it.each([
    ['an earlier capability', 'src/lineage/floors.ts', '../revocation/kill'],
    ['a capability beside it', 'src/database/data-source.ts', '../broker/broker'],
    ['the composition', 'src/live/live.gateway.ts', '../app.module'],
    ['a capability without a place', 'src/revocation/kill.ts', '../extras/thing'],
    ['the client of the stream', 'src/stream/append.ts', '@sever/enforcement'],
    ['the sidecar outside of the command', 'src/main.ts', '@sever/sidecar'],
    ['a package by its path', 'src/stream/append.ts', '../../packages/protocol/src/ids'],
    ['TypeORM in a use case', 'src/revocation/kill.ts', 'typeorm'],
    ['NATS outside of the broker', 'src/stream/relay.ts', '@nats-io/transport-node'],
    ['a library in the rules', 'packages/protocol/src/semantics/lineage.ts', 'zod'],
    ['a file above the rules', 'packages/protocol/src/semantics/lineage.ts', '../ids'],
    ['the control plane in a package', 'packages/cli/src/run.ts', '../../../src/config/config'],
    ['a package that it does not build on', 'packages/cli/src/run.ts', '@sever/enforcement'],
    ['a package that builds on it', 'packages/protocol/src/ids.ts', '@sever/cli'],
    ['an undeclared dependency', 'packages/cli/src/run.ts', 'fastify'],
  ])('refuses %s', (_, file, specifier) => {
    const declared = { cli: ['commander'] };
    for (const source of [
      `import { thing } from '${specifier}';`,
      `import type { Thing } from '${specifier}';`,
      `export * from '${specifier}';`,
      `const thing = await import('${specifier}');`,
      `const thing = require('${specifier}');`,
    ])
      expect(forbiddenImports(file, source, declared)).toEqual([
        expect.stringContaining(`${file} imports ${specifier}: `),
      ]);
  });

  it.each([
    ['a later capability an earlier one', 'src/revocation/kill.ts', '../lineage/fence'],
    ['a capability itself', 'src/revocation/kill.ts', './cascades'],
    ['the composition everything', 'src/app.module.ts', './live/live.module'],
    ['the command what it wraps', 'src/sever.ts', '@sever/sidecar'],
    ['a server folder the protocol', 'src/lineage/floors.ts', '@sever/protocol'],
    ['a store TypeORM', 'src/agents/agents.store.ts', 'typeorm'],
    ['the broker NATS', 'src/broker/broker.ts', '@nats-io/jwt'],
    ['the rules each other', 'packages/protocol/src/semantics/denial.ts', './position'],
    ['a package what it declares', 'packages/cli/src/run.ts', 'commander'],
  ])('lets %s import', (_, file, specifier) => {
    const declared = { cli: ['commander'] };
    expect(forbiddenImports(file, `import { thing } from '${specifier}';`, declared)).toEqual([]);
  });
});

function declaredDependencies(): DeclaredDependencies {
  return Object.fromEntries(
    ['protocol', 'enforcement', 'sidecar', 'cli', 'nestjs', 'mcp'].map((name) => {
      const manifest = JSON.parse(read(`packages/${name}/package.json`)) as {
        dependencies: Record<string, string>;
        peerDependencies?: Record<string, string>;
      };
      return [name, Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })];
    }),
  );
}
