import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type CliIo } from '@sever/cli';
import type { HaltKeyInfo, Kill, SidecarState, SpawnReply } from '@sever/protocol';
import { runSidecar, type RunningSidecar } from '@sever/sidecar';
import { Client } from 'pg';
import { publishOnce } from '../../src/broker/publish-once';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { freePort } from '../../src/embedded/ports';
import { check } from '../support/check';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { eventually } from '../support/eventually';

jest.setTimeout(120_000);

const LEASE_MS = 120_000;

/** `sever …` in this process: what it printed as JSON, and its exit code. */
async function sever(...argv: string[]): Promise<{ code: number; out: never }> {
  let text = '';
  const io = {
    stdout: { write: (more: string) => (text += more) },
    stderr: { write: () => true },
    ...{ env: {}, fetch: globalThis.fetch, now: Date.now, publish: publishOnce },
    setExitCode: () => undefined,
  } as unknown as CliIo;
  const code = await run(['--json', ...argv], io);
  return { code, out: JSON.parse(text) as never };
}

describe('a halt, when no control plane is left', () => {
  let folder: string;
  let plane: TestControlPlane;
  let revived: ControlPlane | undefined;
  let key: HaltKeyInfo;
  let tenant: string;
  const sidecars = new Map<string, RunningSidecar>();
  const file = (name: string): string => join(folder, name);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sever-e2e-halt-'));
    plane = await startTestControlPlane({ SEVER_PORT: String(await freePort()) });
    const admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
    await admin.query('UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1', [
      LEASE_MS,
    ]);
    await admin.end();
    const { out: public_key } = await sever('halt', 'keygen', '--out', file('key'));
    const body = { name: 'in the safe', public_key };
    const made = await plane.call('POST', '/v1/halt-keys', { body });
    expect(made.status).toBe(201);
    key = made.body as never;
    await start('strict');
    await start('best_effort');
    tenant = (await stateOf('strict')).tenant;
  });

  afterAll(async () => {
    await Promise.all([...sidecars.values()].map((sidecar) => sidecar.close()));
    await revived?.close();
    await plane?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (mode: 'strict' | 'best_effort'): Promise<void> => {
    const env = {
      ...{ SEVER_URL: plane.url, SEVER_ENROLMENT_KEY: plane.key, SEVER_SIDECAR_NAME: mode },
      ...{ SEVER_MODE: mode, SEVER_SIDECAR_PORT: '0', SEVER_DATA_DIR: folder },
    };
    const quiet = { write: () => true };
    const io = { stdout: quiet, stderr: quiet, on: () => 0, off: () => 0, exit: () => 0 };
    sidecars.set(mode, await runSidecar(env, {}, io));
  };
  const urlOf = (mode: string): string => (sidecars.get(mode) as RunningSidecar).url;
  const stateOf = async (mode: string): Promise<SidecarState> =>
    (await (await fetch(`${urlOf(mode)}/state`)).json()) as SidecarState;
  const root = (name: string): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });
  const decision = async (mode: string, { credential }: SpawnReply): Promise<string> => {
    const said = await check(urlOf(mode), credential.token, 'x/y');
    return said.decision === 'deny' ? said.code : 'allow';
  };
  const halt = async (name: string, agent: SpawnReply): Promise<string> => {
    const options = ['--key', file('key'), '--tenant', tenant, '--reason', 'it deletes everything'];
    const argv = ['halt', 'sign', agent.agent.id, ...options, '--out', file(name)];
    const signed = await sever(...argv, '--valid', '365d');
    expect(signed.code).toBe(0);
    return (signed.out as { kill_id: string }).kill_id;
  };

  it('stops that agent at every enforcement point, spares its sibling, and ends up in the records once', async () => {
    const [doomed, heard, sibling] = [
      await root('doomed'),
      await root('heard'),
      await root('sibling'),
    ];
    // Made in advance, while there still was somebody to ask who is who.
    const killId = await halt('doomed', doomed);
    const heardId = await halt('heard', heard);
    await plane.plane.close();
    for (const mode of ['strict', 'best_effort'])
      for (const agent of [doomed, heard, sibling])
        expect([mode, await decision(mode, agent)]).toEqual([mode, 'allow']);

    const vias = ['--via', urlOf('strict'), urlOf('best_effort')];
    expect(await sever('halt', 'send', file('doomed'), ...vias)).toMatchObject({
      code: 0,
      out: { sent: [{ said: 'enforced' }, { said: 'enforced' }] },
    });
    const { url, credsFile } = plane.broker;
    const broker = ['--nats', url, '--creds', credsFile];
    expect((await sever('halt', 'send', file('heard'), ...broker)).code).toBe(0);
    for (const mode of ['strict', 'best_effort']) {
      expect(await decision(mode, doomed)).toBe('agent_revoked');
      await eventually(async () => expect(await decision(mode, heard)).toBe('agent_revoked'));
      expect(await decision(mode, sibling)).toBe('allow');
      const { halts } = await stateOf(mode);
      expect(halts.map(({ kill_id }) => kill_id)).toEqual([killId, heardId]);
      const metrics = await (await fetch(`${urlOf(mode)}/metrics`)).text();
      expect(metrics).toContain('sever_sidecar_alarms_total{kind="halt"} 2');
    }

    // A restart forgets nothing; without a control plane it lets nobody in at all.
    await sidecars.get('best_effort')?.close();
    const restarted = start('best_effort');
    revived = await startControlPlane(loadConfig(plane.environment));
    await restarted;
    expect(await decision('best_effort', doomed)).toBe('agent_revoked');
    expect(await decision('best_effort', sibling)).toBe('allow');

    for (const [id, agent] of [
      [killId, doomed],
      [heardId, heard],
    ] as const) {
      const kill = await eventually(
        async () => {
          const found = await plane.client.getKill(id);
          expect(found.state).toBe('contained');
          return found;
        },
        { timeoutMs: 20_000 },
      );
      expect(kill).toMatchObject({
        ...{ action: 'kill', reason: 'it deletes everything' },
        subjects: [{ kind: 'agent', id: agent.agent.id }],
        created_by: { id: key.id, name: 'in the safe', kind: 'halt_key' },
      } satisfies Partial<Kill>);
    }
    await eventually(async () => {
      for (const mode of ['strict', 'best_effort']) expect((await stateOf(mode)).halts).toEqual([]);
    });
    const kills = await plane.client.listKills({});
    expect(kills.items.map(({ id }) => id).sort()).toEqual([killId, heardId].sort());
    expect(await (await fetch(`${plane.url}/metrics`)).text()).toMatch(
      /sever_alarms_total\{kind="halt_used"\} 2/,
    );
    expect((await plane.client.getAgent(doomed.agent.id)).state).toBe('killed');
    expect((await plane.client.getAgent(sibling.agent.id)).state).toBe('active');

    // It is over: who finds the file again stops nothing with it, and is told so.
    const again = await sever('halt', 'send', file('doomed'), ...['--via', urlOf('strict')]);
    expect(again).toMatchObject({ code: 1, out: { sent: [{ said: 'unprocessable' }] } });
  });
});
