import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { EnforcementPoint } from '@sever/enforcement';
import type { SpawnReply } from '@sever/protocol';
import { Sidecar } from '@sever/sidecar';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { startNginx, type RunningNginx } from '../support/nginx';

const DOCUMENT = join(__dirname, '..', '..', 'docs', 'decisions.md');

/** A real nginx, configured as the documentation says, that asks a sidecar before it lets requests through. */
describe('decisions for nginx', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let sidecar: Sidecar;
  let billing: Server;
  let nginx: RunningNginx;
  const seen: IncomingHttpHeaders[] = [];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'edge', { mode: 'strict', abort: 'stream' });
    const upstreams = [{ name: 'billing', kind: 'ext-authz', maxStreamMs: 30_000 }] as const;
    sidecar = await Sidecar.listen(
      { host: '127.0.0.1', port: 0, upstreams },
      { enforcer: point, logger: console },
    );
    billing = createServer((request, response) => {
      seen.push(request.headers);
      response.end('an invoice');
    });
    await new Promise<void>((resolve) => billing.listen(0, '127.0.0.1', resolve));
    const { port } = billing.address() as AddressInfo;
    nginx = await startNginx(
      documented()
        .replaceAll('http://127.0.0.1:7410', sidecar.url)
        .replaceAll('http://127.0.0.1:8080', `http://127.0.0.1:${port}`),
    );
  });
  afterAll(async () => {
    await nginx.stop();
    billing.close();
    await sidecar.close();
    await plane.close();
  });

  const spawn = (): Promise<SpawnReply> =>
    plane.client.spawn({
      name: 'an agent',
      initiator: { subject: 'alice@example.com' },
      scopes: ['http:GET:billing/v1/*'],
    });
  const get = async (path: string, token?: string, headers: Record<string, string> = {}) => {
    const { status, headers: answered } = await fetch(`${nginx.url}${path}`, {
      headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) },
    });
    return { status, code: answered.get('sever-code') };
  };

  it('lets through what an agent may do, tells the upstream who it is, and keeps the token', async () => {
    const { agent, credential } = await spawn();
    const forged = { 'sever-agent': 'agt_of_somebody_else', 'sever-credential': 'crd_forged' };
    expect((await get('/v1/invoices?page=2', credential.token, forged)).status).toBe(200);
    const headers = seen.at(-1) ?? {};
    expect(headers).toMatchObject({
      'sever-agent': agent.id,
      'sever-initiator': agent.initiator.id,
    });
    expect(headers['authorization']).toBeUndefined();
    expect(headers['sever-credential']).toBeUndefined();
  });

  it('lets nobody through who is unknown or asks for more, whatever headers say what was asked for', async () => {
    const { credential } = await spawn();
    const before = seen.length;
    expect(await get('/v1/invoices')).toEqual({ status: 401, code: 'invalid_token' });
    expect(await get('/admin', credential.token)).toEqual({
      status: 403,
      code: 'insufficient_scope',
    });
    const disguise = { 'x-original-uri': '/v1/invoices', 'x-original-method': 'GET' };
    expect((await get('/admin', credential.token, disguise)).status).toBe(403);
    expect(seen.length).toBe(before);
  });

  it('refuses a killed agent, counts what it had let through as uncontrolled, and spares its neighbour', async () => {
    const [victim, neighbour] = [await spawn(), await spawn()];
    for (const { credential } of [victim, neighbour])
      expect((await get('/v1/invoices', credential.token)).status).toBe(200);
    const kill = await plane.client.killAgent(
      victim.agent.id,
      { reason: 'it went wrong' },
      { waitMs: 10_000 },
    );
    expect(kill.state).toBe('contained');
    expect(await get('/v1/invoices', victim.credential.token)).toEqual({
      status: 403,
      code: 'agent_revoked',
    });
    expect((await get('/v1/invoices', neighbour.credential.token)).status).toBe(200);
    const [receipt] = (await plane.client.receipts(kill.id)).items;
    expect(receipt?.in_flight).toEqual({ aborted: 0, completed: 0, uncontrolled: 1 });
  });
});

/** The configuration of the documentation, so that what people copy is what is tested. */
function documented(): string {
  const shown = /```nginx\n([\s\S]*?)```/.exec(readFileSync(DOCUMENT, 'utf8'))?.[1];
  if (shown === undefined) throw new Error('docs/decisions.md shows no nginx configuration');
  return shown;
}
