import { credentials, makeGenericClientConstructor, type Client } from '@grpc/grpc-js';
import { loadAuthorization, type CheckResponse } from '../../src/decisions/envoy-api';
import { Sidecar } from '../../src/sidecar';
import { ScriptedEnforcer } from '../support/scripted-enforcer';

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly token?: string;
  readonly extensions?: Record<string, string>;
}

/** A client made from Envoy's own definitions, as a proxy's is. */
describe('decisions over gRPC', () => {
  let enforcer: ScriptedEnforcer;
  let sidecar: Sidecar;
  let client: Client & {
    Check(question: object, done: (error: Error | null, answer: CheckResponse) => void): void;
  };
  let token: string;

  beforeAll(async () => {
    enforcer = new ScriptedEnforcer();
    token = enforcer.agent('one', ['http:GET:billing/*']);
    sidecar = await Sidecar.listen(
      {
        host: '127.0.0.1',
        port: 0,
        grpcPort: 0,
        upstreams: [
          { name: 'billing', kind: 'ext-authz', hosts: ['billing.internal'] },
          { name: 'mail', kind: 'ext-authz', hosts: ['mail.internal'] },
        ],
      },
      { enforcer, logger: console, drainMs: 100 },
    );
    const Authorization = makeGenericClientConstructor(await loadAuthorization(), 'Authorization');
    client = new Authorization(
      sidecar.grpcAddress ?? '',
      credentials.createInsecure(),
    ) as unknown as typeof client;
  });
  afterAll(async () => {
    client.close();
    await sidecar.close();
  });

  const ask = ({ method = 'GET', path = '/v1/x', host = '', token: of, extensions }: Asked) =>
    new Promise<CheckResponse>((resolve, reject) => {
      const headers = of === undefined ? {} : { authorization: `Bearer ${of}` };
      const attributes = {
        request: { http: { method, path, host, headers } },
        contextExtensions: extensions ?? {},
      };
      client.Check({ attributes }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  const named = { extensions: { sever_upstream: 'billing' } };

  it('lets through, says who calls, and takes the token away', async () => {
    const answer = await ask({ ...named, token });
    expect(answer.status.code ?? 0).toBe(0);
    expect(answer.okResponse?.headersToRemove).toEqual(['authorization']);
    const headers = answer.okResponse?.headers.map(({ header }) => [header.key, header.value]);
    expect(Object.fromEntries(headers ?? [])).toMatchObject({
      'sever-agent': 'one',
      'sever-initiator': 'ini',
      'sever-epoch': '1.7',
    });
    for (const { appendAction } of answer.okResponse?.headers ?? [])
      expect(appendAction).toBe('OVERWRITE_IF_EXISTS_OR_ADD');
  });

  it('finds the upstream by what the route names, else by the host', async () => {
    expect((await ask({ host: 'billing.internal:443', token })).okResponse).toBeDefined();
    const other = await ask({ host: 'mail.internal', token });
    expect(JSON.parse(other.deniedResponse?.body ?? '')).toMatchObject({
      code: 'insufficient_scope',
    });
    // The route is the operator's word, the host a client's.
    const both = await ask({
      host: 'billing.internal',
      extensions: { sever_upstream: 'mail' },
      token,
    });
    expect(both.deniedResponse).toBeDefined();
    for (const asked of [{}, { host: 'elsewhere' }, { extensions: { sever_upstream: 'none' } }])
      expect((await ask({ ...asked, token })).deniedResponse).toBeDefined();
  });

  it('refuses unknown callers, missing scopes and strange paths', async () => {
    const codes = await Promise.all(
      [
        {},
        { token: 'forged' },
        { token, method: 'POST' },
        { token, path: '/v1/../x' },
        { token: `${token}, Bearer ${token}` },
      ].map(async (asked) => {
        const { status, deniedResponse } = await ask({ ...named, ...asked });
        return [status.code, (JSON.parse(deniedResponse?.body ?? '{}') as { code: string }).code];
      }),
    );
    expect(codes).toEqual([
      [16, 'invalid_token'],
      [16, 'invalid_token'],
      [7, 'insufficient_scope'],
      [7, 'bad_request'],
      [16, 'invalid_token'],
    ]);
  });

  it('refuses a killed agent and lets its neighbour through; without a lease, nobody', async () => {
    const [victim, neighbour] = [enforcer.agent('v', ['http:*']), enforcer.agent('n', ['http:*'])];
    enforcer.kill('v');
    const dead = await ask({ ...named, token: victim });
    expect(dead.deniedResponse?.body).toContain('agent_revoked');
    expect((await ask({ ...named, token: neighbour })).okResponse).toBeDefined();
    enforcer.lapse();
    const stale = await ask({ ...named, token: neighbour });
    expect([stale.status.code, stale.deniedResponse?.body]).toEqual([
      14,
      expect.stringContaining('enforcement_stale'),
    ]);
    enforcer.recover();
  });
});
