import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { createRunFolder } from '../../support/run-folder';
import { runScript } from '../../support/run-script';

const ROOT = resolve(__dirname, '../../..');
const PACKAGES = ['protocol', 'enforcement', 'sidecar', 'nestjs', 'mcp', 'cli'];

describe('build', () => {
  it('compiles control plane and packages, copies the console, and does nothing when nothing changed', async () => {
    const project = smallProject();
    const both = await Promise.all([build(project), build(project)]);
    expect(both).toEqual([
      { code: 0, stdout: '', stderr: expect.any(String) },
      { code: 0, stdout: '', stderr: expect.any(String) },
    ]);
    expect(readFileSync(join(project, 'dist/live/console/index.html'), 'utf8')).toBe('<p>hi</p>');
    for (const name of PACKAGES)
      expect(existsSync(join(project, `packages/${name}/dist/index.js`))).toBe(true);
    const { stdout } = await runScript(join(project, 'dist/main.js'));
    expect(stdout).toBe('Main needs Part\n');

    const before = statSync(join(project, 'dist/main.js')).ino;
    await build(project);
    expect(statSync(join(project, 'dist/main.js')).ino).toBe(before);
    writeFileSync(join(project, 'src/late.ts'), 'export const late = 1;\n');
    await build(project);
    expect(existsSync(join(project, 'dist/late.js'))).toBe(true);
  });

  it('keeps the last good output when a source cannot be compiled, and says why', async () => {
    const project = smallProject();
    await build(project);
    writeFileSync(join(project, 'src/main.ts'), 'export const = ;\n');
    const failed = await build(project);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('src/main.ts');
    expect((await runScript(join(project, 'dist/main.js'))).stdout).toBe('Main needs Part\n');
  });

  function smallProject(): string {
    const project = createRunFolder('test-build');
    for (const file of [
      'scripts',
      '.swcrc',
      'nest-cli.json',
      'tsconfig.base.json',
      'package-lock.json',
    ])
      cpSync(join(ROOT, file), join(project, file), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
    for (const name of PACKAGES) {
      mkdirSync(join(project, `packages/${name}/src`), { recursive: true });
      writeFileSync(
        join(project, `packages/${name}/src/index.ts`),
        `export const name = '${name}';\n`,
      );
    }
    mkdirSync(join(project, 'src/live/console'), { recursive: true });
    writeFileSync(join(project, 'src/live/console/index.html'), '<p>hi</p>');
    writeFileSync(
      join(project, 'src/main.ts'),
      `import 'reflect-metadata';
       const Injectable = (): ClassDecorator => () => undefined;
       class Part {}
       @Injectable()
       class Main { constructor(readonly part: Part) {} }
       const [needed] = Reflect.getMetadata('design:paramtypes', Main) as { name: string }[];
       console.log(Main.name, 'needs', needed?.name);
       `,
    );
    return project;
  }

  async function build(project: string) {
    return runScript(join(project, 'scripts/build.mjs'));
  }
});
