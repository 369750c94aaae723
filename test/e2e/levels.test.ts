import type { CallContext, EnforcementPoint } from '@sever/enforcement';
import type { Kill, SpawnReply } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';

const READ: CallContext = { tool: 'git/log', effect: 'read' };
const PUSH: CallContext = { tool: 'git/push' };
const MERGE: CallContext = { tool: 'git/merge' };

/** A suspension that takes some calls of a tree, as an enforcement point carries it out. */
describe('a suspension by level, end to end', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'only', { mode: 'strict', abort: 'stream' });
  });
  afterAll(async () => {
    await point.close();
    await plane.close();
  });

  const root = (): Promise<SpawnReply> =>
    plane.client.spawn({
      name: 'an agent',
      initiator: { subject: 'alice@example.com' },
      scopes: ['tool:*'],
    });
  const suspend = async (id: string, level: string) => {
    const { status, body } = await plane.call('POST', '/v1/kills?wait=10s', {
      body: { subject: { kind: 'agent', id }, action: 'suspend', level, reason: 'a look at it' },
    });
    return { status, kill: body as unknown as Kill };
  };
  const answers = (token: string): Promise<string[]> =>
    Promise.all(
      [READ, PUSH, MERGE].map(async (context) => {
        const decision = await point.check(token, context);
        return decision.decision === 'allow' ? 'allow' : decision.code;
      }),
    );

  it.each([
    ['deny_writes', ['allow', 'agent_suspended', 'agent_suspended']],
    ['deny_tools:[git/pu*]', ['allow', 'agent_suspended', 'allow']],
    ['deny_spawn', ['allow', 'allow', 'allow']],
    ['deny_all', ['agent_suspended', 'agent_suspended', 'agent_suspended']],
  ])(
    '%s takes what it says of the agent and its child until lifted, cuts it in flight, and spares a twin',
    async (level, expected) => {
      const [victim, twin] = [await root(), await root()];
      const child = await plane.client
        .as(victim.credential.token)
        .spawn({ name: 'a child', scopes: ['tool:git/*'] });
      const everybody = [victim, child, twin].map(({ credential }) => credential.token);
      const running = await Promise.all(
        [READ, PUSH, MERGE].map(async (context) => {
          const admission = await point.admit(child.credential.token, context);
          if (admission.decision === 'deny') throw new Error(admission.code);
          admission.call.signal.addEventListener('abort', () => admission.call.finish());
          return admission.call;
        }),
      );

      const { status, kill } = await suspend(victim.agent.id, level);
      expect({ status, level: kill.level }).toEqual({ status: 200, level });
      expect(await Promise.all(everybody.map(answers))).toEqual([
        expected,
        expected,
        ['allow', 'allow', 'allow'],
      ]);
      expect(running.map(({ signal }) => signal.aborted)).toEqual(
        expected.map((answer) => answer !== 'allow'),
      );
      for (const call of running) call.finish();

      await plane.call('POST', `/v1/kills/${kill.id}/lift`, { body: { reason: 'it is fine' } });
      await eventually(async () =>
        expect(await answers(child.credential.token)).toEqual(['allow', 'allow', 'allow']),
      );
    },
  );
});
