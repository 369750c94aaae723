import { join } from 'node:path';
import type { SpawnReply } from '@sever/protocol';
import { Processes, ROOT, type Started } from '../../src/demo/processes';
import { check } from '../support/check';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';

describe('a sidecar that is frozen during a kill', () => {
  const processes = new Processes();
  let plane: TestControlPlane;
  let sidecar: Started;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    sidecar = await processes.start({
      name: 'the sidecar',
      args: [join(ROOT, 'bin', 'sever.js'), 'sidecar'],
      env: {
        SEVER_URL: plane.url,
        SEVER_ENROLMENT_KEY: plane.key,
        SEVER_SIDECAR_NAME: 'frozen',
        SEVER_SIDECAR_PORT: '0',
        SEVER_DATA_DIR: createRunFolder('e2e-freeze'),
      },
      ready: /sever sidecar: listening on (http:\S+)/,
    });
  });
  afterAll(async () => {
    await processes.stopAll();
    await plane.close();
  });

  const root = (name: string): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });

  it('admits none of the calls that waited for its thaw, though its lease has time left, and then goes on', async () => {
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect(await check(sidecar.found, doomed.credential.token, 'x/y')).toMatchObject({
      decision: 'allow',
    });

    process.kill(sidecar.pid, 'SIGSTOP');
    const kill = await plane.client.killAgent(doomed.agent.id, { reason: 'x' }, { waitMs: 0 });
    expect(kill.state).toBe('committed');
    const queued = Array.from({ length: 20 }, () =>
      check(sidecar.found, doomed.credential.token, 'x/y'),
    );
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    process.kill(sidecar.pid, 'SIGCONT');

    const decisions = await Promise.all(queued);
    expect(decisions.filter(({ decision }) => decision === 'allow')).toEqual([]);
    await eventually(async () => {
      expect(await check(sidecar.found, survivor.credential.token, 'x/y')).toMatchObject({
        decision: 'allow',
        stale: false,
      });
      expect(await check(sidecar.found, doomed.credential.token, 'x/y')).toMatchObject({
        code: 'agent_revoked',
      });
    });
    await eventually(async () =>
      expect((await plane.client.getKill(kill.id)).state).toBe('contained'),
    );
  });
});
