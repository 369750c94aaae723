import 'reflect-metadata';
import type { ServerResponse } from 'node:http';
import {
  Controller,
  Get,
  Module,
  Post,
  Res,
  Sse,
  UseGuards,
  type INestApplication,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Caller, EnforcementPoint } from '@sever/enforcement';
import {
  Effect,
  Scope,
  SeverCaller,
  SeverGuard,
  SeverModule,
  SeverSignal,
  Tool,
} from '@sever/nestjs';
import type { SpawnReply } from '@sever/protocol';
import { interval, map, type Observable } from 'rxjs';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/control-plane';
import { connectPoint } from '../../../test/support/enforcement-point';
import { eventually } from '../../../test/support/eventually';

let running = 0;
let stopped = 0;

@Controller('billing')
class BillingController {
  @Get('who')
  @UseGuards(SeverGuard)
  who(@SeverCaller() caller: Caller): { agent: string } {
    return { agent: caller.agentId };
  }

  @Post('transfer')
  @Tool('billing/transfer')
  async transfer(@SeverSignal() signal: AbortSignal): Promise<string> {
    running += 1;
    await new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => {
        running -= 1;
        stopped += 1;
        reject(new Error('rolled back'));
      });
    });
    return 'never';
  }

  @Post('deaf')
  @Tool('billing/deaf')
  async deaf(): Promise<string> {
    running += 1;
    return await new Promise<string>((resolve) => release.push(() => resolve('late')));
  }

  @Sse('ticks')
  @Tool('billing/ticks')
  ticks(): Observable<{ data: string }> {
    return interval(10).pipe(map((n) => ({ data: `tick ${n}` })));
  }

  @Get('export')
  @Scope('http:GET:billing/v1/export')
  @Effect('read')
  export(@Res() reply: ServerResponse & { raw?: ServerResponse; hijack?: () => void }): void {
    reply.hijack?.();
    const response = reply.raw ?? reply;
    response.writeHead(200, { 'content-type': 'text/plain' });
    const timer = setInterval(() => response.write('row\n'), 10);
    response.once('close', () => clearInterval(timer));
  }
}
const release: (() => void)[] = [];

describe.each([
  ['Fastify', () => new FastifyAdapter()],
  ['Express', () => new ExpressAdapter()],
])('a Nest service on %s', (platform, adapter) => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let app: INestApplication;
  let url: string;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, `billing-${platform}`);
    @Module({ imports: [SeverModule.forPoint(point)], controllers: [BillingController] })
    class AppModule {}
    app = await NestFactory.create(AppModule, adapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  });
  afterAll(async () => {
    await app.close();
    await point.close();
    await plane.close();
  });
  beforeEach(() => {
    running = stopped = 0;
  });

  const spawn = (scopes = ['tool:billing/*', 'http:GET:billing/v1/*']): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'an agent', initiator: { subject: 'alice@example.com' }, scopes });
  const call = (method: string, path: string, token?: string) =>
    fetch(`${url}/billing/${path}`, {
      method,
      ...(token && { headers: { authorization: `Bearer ${token}` } }),
    });
  const kill = (agent: string) =>
    plane.client.killAgent(agent, { reason: 'it went wrong' }, { waitMs: 10_000 });

  it('tells the handler who calls, and refuses whoever has no token, or lacks the scope, as a sidecar does', async () => {
    const { agent, credential } = await spawn([]);
    const known = await call('GET', 'who', credential.token);
    expect(await known.json()).toEqual({ agent: agent.id });
    const nobody = await call('GET', 'who');
    expect(nobody.status).toBe(401);
    expect(nobody.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    expect(nobody.headers.get('content-type')).toContain('application/problem+json');
    expect(await nobody.json()).toMatchObject({ code: 'invalid_token' });
    const lacking = await call('POST', 'transfer', credential.token);
    expect(lacking.status).toBe(403);
    expect(await lacking.json()).toMatchObject({ code: 'insufficient_scope' });
    expect(running).toBe(0);
  });

  it('aborts the handler and answers the refusal at the kill, and counts it aborted, while a neighbour goes on', async () => {
    const [victim, neighbour] = [await spawn(), await spawn()];
    const cut = call('POST', 'transfer', victim.credential.token);
    const spared = call('POST', 'deaf', neighbour.credential.token);
    await eventually(() => expect(running).toBe(2));
    const killed = await kill(victim.agent.id);
    expect(killed.state).toBe('contained');
    const refused = await cut;
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      code: 'agent_revoked',
      kill_id: killed.id,
      terminal: true,
    });
    expect(stopped).toBe(1);
    expect((await plane.client.receipts(killed.id)).items[0]?.in_flight).toEqual({
      ...{ aborted: 1, completed: 0, uncontrolled: 0 },
    });
    expect(running).toBe(1);
    release.splice(0).forEach((end) => end());
    expect((await spared).status).toBeLessThan(300);
    await eventually(() => expect(point.state().inFlight).toBe(0));
  });

  it('counts a handler that does not listen as uncontrolled, although its agent has the refusal', async () => {
    const victim = await spawn();
    const cut = call('POST', 'deaf', victim.credential.token);
    await eventually(() => expect(running).toBe(1));
    const killed = await kill(victim.agent.id);
    expect((await cut).status).toBe(403);
    expect((await plane.client.receipts(killed.id)).items[0]?.in_flight).toEqual({
      ...{ aborted: 0, completed: 0, uncontrolled: 1 },
    });
    expect(point.state().inFlight).toBe(1);
    release.splice(0).forEach((end) => end());
    await eventually(() => expect(point.state().inFlight).toBe(0));
  });

  it.each(['ticks', 'export'])('breaks the stream of %s off in the middle', async (path) => {
    const [victim, neighbour] = [await spawn(), await spawn()];
    const [cut, spared] = await Promise.all(
      [victim, neighbour].map(({ credential }) => call('GET', path, credential.token)),
    );
    const ended = cut!.text().then(
      () => 'whole',
      () => 'broken',
    );
    const reader = spared!.body!.getReader();
    await reader.read();
    const killed = await kill(victim.agent.id);
    expect(await ended).toBe('broken');
    expect((await plane.client.receipts(killed.id)).items[0]?.in_flight).toEqual({
      ...{ aborted: 1, completed: 0, uncontrolled: 0 },
    });
    expect((await reader.read()).done).toBe(false);
    await reader.cancel();
    await eventually(() => expect(point.state().inFlight).toBe(0));
  });

  it('refuses a suspended tool, and serves the others', async () => {
    const { credential } = await spawn();
    const { id } = await plane.client.kill(
      {
        ...{ subject: { kind: 'tool', id: 'billing/ticks' }, action: 'suspend' },
        reason: 'it sends too much',
      },
      { waitMs: 10_000 },
    );
    const refused = await call('GET', 'ticks', credential.token);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: 'tool_suspended', kill_id: id });
    expect((await call('GET', 'who', credential.token)).status).toBe(200);
  });
});

it('says at the start what a decorator cannot mean', () => {
  expect(() => Tool('transfer')).toThrow("write <upstream>/<name>, such as 'billing/transfer'");
  expect(() => Scope('tool:billing/*')).toThrow('write one whole scope');
});
