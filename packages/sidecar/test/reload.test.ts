import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../../test/support/eventually';
import { checkConfig } from '../src/check-config';
import { watchConfig } from '../src/config/watch-config';
import { SidecarError } from '../src/sidecar-error';
import { parseSidecarFile, type Upstream } from '../src/sidecar-file';
import { EchoUpstream } from './support/echo-upstream';
import { EventReader } from './support/event-reader';
import { ask, bearer, httpSidecar, type HttpSidecar } from './support/http-sidecar';

describe('a config that changes under a running sidecar', () => {
  let upstream: EchoUpstream;
  let held: ServerResponse[];
  let under: HttpSidecar;
  let headers: { authorization: string };

  beforeEach(async () => {
    held = [];
    upstream = await EchoUpstream.start(({ url }, response) => {
      if (url !== '/stream') return false;
      held.push(response.writeHead(200, { 'content-type': 'text/event-stream' }));
      response.write('data: 1\n\n');
      return true;
    });
    under = await httpSidecar([{ name: 'before', url: upstream.origin }]);
    headers = bearer(under.enforcer.agent('a', ['http:*']));
  });
  afterEach(async () => {
    await under.sidecar.close();
    await upstream.close();
  });

  const status = async (path: string): Promise<number> =>
    (await ask(under.url, path, { headers })).status;
  const http = (name: string, rest: Partial<Upstream> = {}): Upstream => ({
    ...{ name, kind: 'http', url: upstream.origin },
    ...rest,
  });
  const take = (...upstreams: Upstream[]): void => under.sidecar.reload(() => ({ upstreams }));

  it('serves new upstreams, and those that are gone no more', async () => {
    expect([await status('/before/x'), await status('/after/x')]).toEqual([200, 404]);
    take(http('after'));
    expect([await status('/before/x'), await status('/after/x')]).toEqual([404, 200]);
    const state = await ask(under.url, '/state');
    expect(JSON.parse(state.body)).toMatchObject({ upstreams: [{ name: 'after' }] });
  });

  it('goes by what an upstream says now', async () => {
    const credential = { header: 'x-key', value: 'second' };
    take(http('before', { credential }));
    await status('/before/x');
    expect(upstream.seen.at(-1)?.headers['x-key']).toBe('second');
  });

  it('lets a call of an upstream that is gone run on, within reach of a kill', async () => {
    const stream = async (id: string) => {
      const own = bearer(under.enforcer.agent(id, ['http:*']));
      return new EventReader(await fetch(`${under.url}/before/stream`, { headers: own }));
    };
    const [doomed, survivor] = [await stream('doomed'), await stream('survivor')];
    await eventually(() => expect(held).toHaveLength(2));
    take();
    expect(await status('/before/x')).toBe(404);
    under.enforcer.kill('doomed');
    expect(await doomed.end).toBe('ended');
    expect(doomed.text).toContain('agent_revoked');
    held[1]?.end('data: 2\n\n');
    expect(await survivor.end).toBe('ended');
    expect(survivor.events).toEqual([1, 2]);
  });

  it('stays as it was when the new one has a fault, which is logged and counted', async () => {
    under.sidecar.reload(() => {
      throw new SidecarError('sidecar.yaml:3: mode must be strict or best_effort');
    });
    expect(await status('/before/x')).toBe(200);
    expect(under.logged).toContainEqual(
      expect.objectContaining({ faults: ['sidecar.yaml:3: mode must be strict or best_effort'] }),
    );
    take(http('before'));
    const { body } = await ask(under.url, '/metrics');
    expect(body).toContain('sever_sidecar_config_reloads_total{outcome="refused"} 1');
    expect(body).toContain('sever_sidecar_config_reloads_total{outcome="taken"} 1');
  });

  it('says what waits for the next start', () => {
    under.sidecar.reload(() => ({ upstreams: [], name: 'another' }));
    expect(under.logged).toContainEqual(
      expect.objectContaining({ waits: expect.arrayContaining(['name']) as string[] }),
    );
  });
});

describe('the file of a config', () => {
  let folder: string;
  let path: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sever-sidecar-'));
    path = join(folder, 'sidecar.yaml');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is read again when it changes, and at a SIGHUP', async () => {
    writeFileSync(path, 'name: one');
    const listeners: (() => void)[] = [];
    const signals = {
      on: (_signal: string, listener: () => void) => listeners.push(listener),
      off: (_signal: string, listener: () => void) => listeners.splice(listeners.indexOf(listener)),
    };
    let changes = 0;
    const unwatch = watchConfig(path, signals, () => void (changes += 1));
    try {
      listeners[0]?.();
      expect(changes).toBe(1);
      await eventually(
        () => {
          writeFileSync(path, `name: two-${changes}-${Date.now()}`);
          expect(changes).toBeGreaterThan(1);
        },
        { timeoutMs: 20_000 },
      );
    } finally {
      unwatch();
    }
    expect(listeners).toEqual([]);
  }, 30_000);

  it('is checked without a sidecar: ok, and the secrets that it names', () => {
    writeFileSync(
      path,
      'upstreams:\n  - {name: a, kind: http, url: "http://h", credential: {header: X-Key, value: "a ${KEY}"}}',
    );
    expect(checkConfig(path)).toEqual({
      ok: true,
      lines: [`${path}: ok, 1 upstream; it needs KEY`],
    });
  });

  it('is checked without a sidecar: each fault, by its line', () => {
    writeFileSync(path, 'mode: lax\nupstreams:\n  - {name: a, kind: http, url: "ftp://h"}');
    const { ok, lines } = checkConfig(path);
    expect(ok).toBe(false);
    expect(lines.map((line) => line.slice(path.length))).toEqual([
      expect.stringMatching(/^:1: mode must be strict/),
      expect.stringMatching(/^:3: upstreams\[0\]\.url must be an http/),
    ]);
    expect(checkConfig(join(folder, 'nowhere.yaml')).lines[0]).toContain('cannot be read');
  });

  it.each([
    [
      'a secret that is not set',
      '{header: x-key, value: "${NOT_SET}"}',
      /NOT_SET, which is not set/,
    ],
    [
      'a secret of two lines',
      '{header: x-key, value: "${TWO_LINES}"}',
      /one line of visible ASCII/,
    ],
    ['a header that frames', '{header: Content-Length, value: x}', /carries no credential/],
  ])('with %s is refused', (_what, credential, message) => {
    const text = `upstreams:\n  - {name: a, kind: http, url: "http://h", credential: ${credential}}`;
    const env = { TWO_LINES: 'a\r\nX-Other: b' };
    expect(() => parseSidecarFile(text, 'sidecar.yaml', env)).toThrow(message);
  });

  it.each([
    ['tools: [{match: "a*b", effect: read}]', /\* stands only at its end/],
    ['tools: [{match: /a}]', /says nothing; give it an effect or a mode/],
    ['token_from: [cookie]', /must be of authorization, x-api-key/],
    ['token_from: []', /must name a header/],
    ['timeouts: {idle_ms: 0}', /at least 1 millisecond/],
    ['policy: maybe', /must be enforce or observe/],
    ['trust_hints: true', /trust_hints is not a known key/],
    ['private_addresses: deny', /must be allow or refuse/],
  ])('with %s is refused', (key, message) => {
    const text = `upstreams:\n  - name: a\n    kind: http\n    url: http://h\n    ${key}`;
    expect(() => parseSidecarFile(text, 'sidecar.yaml')).toThrow(message);
    expect(() => parseSidecarFile(text, 'sidecar.yaml')).toThrow(/^sidecar\.yaml:5: /);
  });

  it.each(['http://h/?a=b', 'http://h/a/../b', 'http://h/a%2fb', 'http://h//a', 'http://u@h/'])(
    'with the url %s of an http upstream is refused',
    (url) => {
      const text = `upstreams:\n  - {name: a, kind: http, url: "${url}"}`;
      expect(() => parseSidecarFile(text, 'sidecar.yaml')).toThrow(/^sidecar\.yaml:2: .*url must/);
    },
  );
});
