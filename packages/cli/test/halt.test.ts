import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactVerify, importJWK, type JWK } from 'jose';
import { Halt, newId, typOf } from '@sever/protocol';
import { runCli } from './support/run-cli';

const NOWHERE = 'http://127.0.0.1:9';
const TENANT = newId('tenant');
const AGENT = newId('agent');

/** A sidecar's /halt, which answers as it is told and remembers what it was brought. */
class HaltListener {
  readonly brought: string[] = [];
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(status: number, answer: object): Promise<HaltListener> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const listener = new HaltListener(server, url);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        listener.brought.push(`${request.method} ${request.url} ${body}`);
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(answer));
      });
    });
    return listener;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe('sever halt', () => {
  let folder: string;
  let key: string;
  let publicKey: JWK;
  let files = 0;
  const file = (name: string): string => join(folder, `${(files += 1)}-${name}`);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sever-halt-'));
    key = file('key.json');
    const made = await runCli(NOWHERE, ['--json', 'halt', 'keygen', '--out', key], {
      SEVER_KEY: '',
    });
    expect(made).toMatchObject({ code: 0, err: '' });
    publicKey = JSON.parse(made.out) as JWK;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const sign = async (targets: string[], more: string[] = []) => {
    const path = file('halt');
    const options = ['--key', key, '--tenant', TENANT, '--reason', 'gone wild', '--out', path];
    return { path, ...(await runCli(NOWHERE, ['halt', 'sign', ...targets, ...options, ...more])) };
  };

  describe('keygen', () => {
    it('writes the private half for its owner alone, prints the public half alone, and replaces nothing', async () => {
      expect(statSync(key).mode & 0o777).toBe(0o600);
      const stored = JSON.parse(readFileSync(key, 'utf8')) as JWK;
      expect(publicKey).toEqual({
        ...{ kty: 'OKP', crv: 'Ed25519', x: stored.x, kid: stored.kid, alg: 'EdDSA', use: 'sig' },
      });
      expect(stored.d).toMatch(/^[\w-]{43}$/);
      const again = await runCli(NOWHERE, ['halt', 'keygen', '--out', key]);
      expect(again.code).toBe(2);
      expect(JSON.parse(readFileSync(key, 'utf8'))).toEqual(stored);
    });

    it('says how to register it', async () => {
      const made = await runCli(NOWHERE, ['halt', 'keygen', '--out', file('other.json')]);
      expect(made.out).toMatch(/curl --json '\{.*"public_key".*\}'.*\/v1\/halt-keys/);
      expect(made.out).not.toContain('"d"');
    });
  });

  describe('sign', () => {
    it('makes an order that verifies under the public half, of each target once, for as long as was asked', async () => {
      const { path } = await sign([AGENT, 'tool:git/push', AGENT], ['--valid', '365d']);
      const { payload, protectedHeader } = await compactVerify(
        readFileSync(path, 'utf8').trim(),
        await importJWK(publicKey, 'EdDSA'),
      );
      expect(protectedHeader).toMatchObject({ typ: typOf('halt'), kid: publicKey.kid });
      const halt = Halt.parse(JSON.parse(Buffer.from(payload).toString()));
      expect(halt).toMatchObject({ tenant: TENANT, reason: 'gone wild' });
      expect(halt.subjects).toEqual([`agent:${AGENT}`, 'tool:git/push']);
      expect(halt.not_after - halt.issued_at).toBe(365 * 86_400_000);
      expect(statSync(path).mode & 0o777).toBe(0o600);
    });

    it.each([
      ['a human by address', ['alice@example.com'], 'ini_'],
      ['a reference', ['ref:pod:7'], 'look up'],
      ['another tenant', [newId('tenant')], 'own tenant'],
      ['half an id', ['agt_01'], '26 characters'],
      ['nothing', [], 'target'],
    ])('refuses %s, writes nothing, exit 2', async (_, targets, says) => {
      const { code, err, path } = await sign(targets);
      expect(code).toBe(2);
      expect(err).toContain(says);
      expect(() => statSync(path)).toThrow();
    });

    it.each([
      [['--valid', '3y']],
      [['--valid', '0']],
      [['--valid', '400d']],
      [['--tenant', 'ten_1']],
      [['--reason', ' ']],
      [['--key', '/nowhere/at/all']],
    ])('refuses %j, exit 2', async (more) => {
      expect((await sign([AGENT], more)).code).toBe(2);
    });
  });

  describe('send', () => {
    let good: HaltListener;
    let bad: HaltListener;
    let halt: string;
    beforeAll(async () => {
      good = await HaltListener.start(200, { kill_id: 'kil_1', state: 'enforced', kept: true });
      bad = await HaltListener.start(403, {
        ...{ type: 'urn:sever:problem:bad_proof', title: 'bad proof', status: 403 },
        ...{ code: 'bad_proof', detail: 'not signed by a halt key' },
      });
      halt = (await sign([AGENT])).path;
    });
    afterAll(() => Promise.all([good.stop(), bad.stop()]));

    it('brings the very text to every sidecar, without any key of ours, exit 0', async () => {
      const sent = await runCli(
        NOWHERE,
        ['halt', 'send', halt, '--via', good.url, `${good.url}/`],
        {
          SEVER_KEY: '',
        },
      );
      expect(sent.code).toBe(0);
      expect(sent.out).toContain('accepted by 2 of 2');
      const text = readFileSync(halt, 'utf8').trim();
      expect(good.brought.slice(-2)).toEqual([`POST /halt ${text}`, `POST /halt ${text}`]);
    });

    it('brings it to the others although some refuse or are not there, exit 1, and says which', async () => {
      const before = good.brought.length;
      const argv = ['--json', 'halt', 'send', halt, '--via', NOWHERE, bad.url, good.url];
      const sent = await runCli(NOWHERE, argv);
      expect(sent.code).toBe(1);
      const { sent: said } = JSON.parse(sent.out) as { sent: { said: string }[] };
      expect(said.map((one) => one.said)).toEqual(['unreachable', 'bad_proof', 'enforced']);
      expect(good.brought).toHaveLength(before + 1);
    });

    it.each([
      ['no way', (path: string) => [path]],
      ['a way that is no URL', (path: string) => [path, '--via', 'ftp://x']],
      ['a broker without credentials', (path: string) => [path, '--nats', 'nats://x']],
      ['no such file', () => ['/nowhere/at/all', '--via', NOWHERE]],
      ['a key for an order', () => [key, '--via', NOWHERE]],
    ])('refuses %s, exit 2, and sends nothing', async (_, argv) => {
      const before = good.brought.length;
      expect((await runCli(NOWHERE, ['halt', 'send', ...argv(halt)])).code).toBe(2);
      expect(good.brought).toHaveLength(before);
    });

    it('says that it has no client for a broker where none is at hand, exit 2', async () => {
      const creds = file('creds');
      writeFileSync(creds, '');
      const argv = ['halt', 'send', halt, '--nats', 'nats://x', '--creds', creds];
      const sent = await runCli(NOWHERE, argv);
      expect([sent.code, sent.err]).toEqual([2, expect.stringContaining('--via') as string]);
    });
  });
});
