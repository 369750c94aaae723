import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '../src/settings';
import { parseSidecarFile } from '../src/sidecar-file';

const KEY = { SEVER_ENROLMENT_KEY: 'enrolment-key' };

describe('settings', () => {
  let folder: string;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'sever-sidecar-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  function file(text: string): string {
    const path = join(folder, 'sidecar.yaml');
    writeFileSync(path, text);
    return path;
  }

  it('need an enrolment key and nothing else', () => {
    const settings = readSettings({ ...KEY, SEVER_DATA_DIR: 'data' });
    expect(settings).toEqual({
      url: 'http://127.0.0.1:7400',
      enrolmentKey: 'enrolment-key',
      name: 'sidecar',
      mode: 'strict',
      ownMode: 'strict',
      transport: 'auto',
      host: '127.0.0.1',
      port: 7410,
      keyDirectory: join('data', 'ep', 'sidecar'),
      upstreams: [],
      records: { arguments: 'hash', redact: [] },
      accept: [],
    });
    expect(() => readSettings({})).toThrow(/SEVER_ENROLMENT_KEY is not set.*enrolment-keys/s);
  });

  it('name the roads by which it hears the control plane, and no other', () => {
    for (const transport of ['auto', 'nats', 'http'] as const)
      expect(readSettings({ ...KEY, SEVER_TRANSPORT: transport }).transport).toBe(transport);
    expect(() => readSettings({ ...KEY, SEVER_TRANSPORT: 'smoke' })).toThrow(
      /SEVER_TRANSPORT must be auto, nats or http/,
    );
  });

  it('come from the file, over which the environment is laid', () => {
    const path = file(
      'name: from-file\nmode: best_effort\nupstreams:\n  - {name: tools, kind: mcp, url: "http://localhost:3001/mcp"}\n',
    );
    expect(readSettings(KEY, path)).toMatchObject({
      name: 'from-file',
      mode: 'best_effort',
      upstreams: [{ name: 'tools', kind: 'mcp', url: 'http://localhost:3001/mcp' }],
    });
    const env = { SEVER_SIDECAR_NAME: 'from-env', SEVER_MODE: 'strict', SEVER_SIDECAR_PORT: '0' };
    expect(readSettings({ ...KEY, ...env, SEVER_SIDECAR_HOST: '' }, path)).toMatchObject({
      name: 'from-env',
      mode: 'strict',
      host: '127.0.0.1',
      port: 0,
    });
  });

  it('report the weakest mode of all that is served, while each call keeps its own', () => {
    const upstream = (name: string, rest: string): string =>
      `  - {name: ${name}, kind: http, url: "http://h"${rest}}\n`;
    const modes = (text: string): unknown => {
      const { mode, ownMode, upstreams } = readSettings(KEY, file(text));
      return [mode, ownMode, ...upstreams.map((one) => one.mode)];
    };
    const a = upstream('a', '');
    expect(modes(`upstreams:\n${a}`)).toEqual(['strict', 'strict', 'strict']);
    expect(modes(`upstreams:\n${a}${upstream('b', ', mode: best_effort')}`)).toEqual([
      ...['best_effort', 'strict', 'strict', 'best_effort'],
    ]);
    const rule = ', tools: [{match: /a, mode: best_effort}]';
    expect(modes(`upstreams:\n${upstream('b', rule)}`)).toEqual([
      ...['best_effort', 'strict', 'strict'],
    ]);
    expect(modes(`mode: best_effort\nupstreams:\n${upstream('b', ', mode: strict')}`)).toEqual([
      ...['best_effort', 'best_effort', 'strict'],
    ]);
  });

  it.each([
    [{ SEVER_MODE: 'lenient' }, 'SEVER_MODE must be strict or best_effort'],
    [{ SEVER_SIDECAR_PORT: '70000' }, 'SEVER_SIDECAR_PORT must be a port from 0 to 65535'],
    [{ SEVER_URL: 'ftp://somewhere' }, 'SEVER_URL must be an http or https URL'],
    [{ SEVER_SIDECAR_NAME: '../up' }, 'SEVER_SIDECAR_NAME must match'],
  ])('refuse %j and say which it was', (env, message) => {
    expect(() => readSettings({ ...KEY, ...env })).toThrow(message);
  });

  it('say when the file is not there', () => {
    const path = join(folder, 'nowhere.yaml');
    expect(() => readSettings(KEY, path)).toThrow(`${path}: cannot be read`);
  });
});

describe('sidecar.yaml', () => {
  const upstream = (lines: string): string => `name: edge\nupstreams:\n  - name: tools\n${lines}`;

  it('may be empty', () => {
    expect(parseSidecarFile('', 'sidecar.yaml')).toEqual({});
  });

  it.each([
    [
      'a kind that is not served',
      upstream('    kind: grpc\n    url: http://h/'),
      4,
      /it serves: mcp, http/,
    ],
    ['no url', upstream('    kind: mcp\n'), 3, /upstreams\[0\]\.url must be an http or https URL/],
    ['another scheme', upstream('    kind: mcp\n    url: file:///etc/passwd'), 5, /http or https/],
    ['a password', upstream('    kind: mcp\n    url: http://u:p@h/'), 5, /user name/],
    [
      'an unknown key',
      upstream('    kind: mcp\n    url: http://h/\n    urll: x'),
      6,
      /urll is not a known key/,
    ],
    ['an unknown key at the top', 'name: edge\nport: 3', 2, /port is not a known key/],
    [
      'a reserved name',
      'upstreams:\n  - name: check\n    kind: mcp\n    url: http://h/',
      2,
      /path of the sidecar itself/,
    ],
    [
      'a name that is no path',
      'upstreams:\n  - name: Tools/\n    kind: mcp\n    url: http://h/',
      2,
      /a-z, 0-9 and -/,
    ],
    [
      'a name twice',
      'upstreams:\n  - {name: a, kind: mcp, url: http://h/}\n  - {name: a, kind: mcp, url: http://h/}',
      3,
      /taken by an upstream above: a/,
    ],
    ['a mode that there is not', 'name: x\n\nmode: lax', 3, /mode must be strict or best_effort/],
    ['a list where a map belongs', '- name: x', 1, /the file/],
    ['broken YAML', 'name: x\nupstreams: [', 2, /./],
  ])('with %s is refused, naming file and line', (_what, text, line, message) => {
    let fault = '';
    try {
      parseSidecarFile(text, 'sidecar.yaml');
    } catch (error) {
      fault = (error as Error).message;
    }
    expect(fault.split('\n')).toHaveLength(1);
    expect(fault).toMatch(new RegExp(`^sidecar\\.yaml:${line}: `));
    expect(fault).toMatch(message);
  });
});
