import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newId, typOf, type Halt } from '@sever/protocol';
import { eventually } from '../../../test/support/eventually';
import { RefusedError, type Alarm, type EnforcementPoint } from '../src';
import { newKeyPair, signJws, type AgentToken } from './support/scripted-control-plane';
import { setScene } from './support/scene';
jest.setTimeout(30_000);

const scene = setScene();
const { connected } = scene;
const tool = 'files/read';

const haltOf = (agents: AgentToken[], fields: Partial<Halt> = {}): Halt => ({
  ...{ type: 'halt', v: 1, tenant: scene.plane.tenant, kill_id: newId('kill') },
  ...{ subjects: agents.map(({ agent }) => `agent:${agent}`), reason: 'it deletes everything' },
  ...{ issued_at: Date.now(), not_after: Date.now() + 3_600_000, ...fields },
});
const sign = (halt: Halt, key = scene.plane.haltKey): Promise<string> =>
  signJws(key, typOf('halt'), halt);
const decide = async (ep: EnforcementPoint, { token }: AgentToken): Promise<string> => {
  const decision = await ep.check(token, { tool });
  return decision.decision === 'deny' ? decision.code : 'allow';
};

describe('a halt', () => {
  it('is enforced at once, cuts what runs, is alarmed, written down and shown; the sibling goes on', async () => {
    const keyDirectory = join(scene.folder, 'halted');
    const ep = await connected({ keyDirectory });
    const [doomed, sibling] = [await scene.plane.token(), await scene.plane.token()];
    const alarms: Alarm[] = [];
    ep.onAlarm((alarm) => void alarms.push(alarm));
    const work = ep.guard(doomed.token, { tool }, (signal) => stopped(signal));
    const going = await ep.admit(sibling.token, { tool });
    await eventually(() => expect(ep.state().inFlight).toBe(2));

    const halt = haltOf([doomed]);
    const jws = await sign(halt);
    const cut = expect(work).rejects.toBeInstanceOf(RefusedError);
    expect(await ep.halt(jws)).toEqual({ outcome: 'enforced', killId: halt.kill_id, kept: true });

    await cut;
    expect([await decide(ep, doomed), await decide(ep, sibling)]).toEqual([
      'agent_revoked',
      'allow',
    ]);
    if (going.decision === 'deny') throw new Error('the sibling was refused');
    expect(going.call.signal.aborted).toBe(false);
    going.call.finish();
    expect(alarms).toMatchObject([{ kind: 'halt' }]);
    expect(ep.state()).toMatchObject({
      ready: true,
      darkBecause: null,
      halts: [{ kill_id: halt.kill_id, subjects: halt.subjects, committed: false }],
    });
    const file = join(keyDirectory, 'emergencies.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toContain(halt.kill_id);
    await eventually(() => {
      const last = scene.plane.receiptsFor(ep.state().bootId).at(-1);
      expect(last?.halts).toEqual([jws]);
      expect(last?.in_flight[halt.kill_id]).toEqual({ aborted: 1, completed: 0, uncontrolled: 0 });
    });
    expect(await ep.halt(jws)).toMatchObject({ outcome: 'known' });
  });

  it('survives a restart at a control plane that has not heard of it, until that has committed it', async () => {
    const keyDirectory = join(scene.folder, 'restarted');
    const first = await connected({ keyDirectory, mode: 'best_effort' });
    const [doomed, sibling] = [await scene.plane.token(), await scene.plane.token()];
    const halt = haltOf([doomed]);
    await first.halt(await sign(halt));
    await first.close();

    const second = await connected({ keyDirectory, mode: 'best_effort' });
    expect([await decide(second, doomed), await decide(second, sibling)]).toEqual([
      'agent_revoked',
      'allow',
    ]);
    const floor = { op: 'floor', subject: `agent:${doomed.agent}`, generation: 2 } as const;
    const { jws, seq } = await scene.plane.append(floor, halt.kill_id);
    scene.plane.broadcast('stream', jws);
    await eventually(() => {
      const last = scene.plane.receiptsFor(second.state().bootId).at(-1);
      expect(last?.applied).toBe(seq);
      expect(last?.halts).toBeUndefined();
    });
    expect(second.state().halts).toEqual([]);
    expect(await decide(second, doomed)).toBe('agent_revoked');
    // Closed: the same file, found again, opens nothing.
    expect(await second.halt(await sign(halt))).toEqual({ outcome: 'refused', why: 'over' });
  });

  it('comes by the broker too, under a signature of its own', async () => {
    const ep = await connected();
    const [doomed, sibling] = [await scene.plane.token(), await scene.plane.token()];
    scene.plane.broadcast('emergency', await sign(haltOf([doomed])));
    await eventually(async () => expect(await decide(ep, doomed)).toBe('agent_revoked'));
    expect(await decide(ep, sibling)).toBe('allow');
  });

  it('counts under a halt key of this tenant alone, and only as it was signed', async () => {
    const ep = await connected();
    const agent = await scene.plane.token();
    const good = await sign(haltOf([agent]));
    const [header, payload, signature] = good.split('.') as [string, string, string];
    const other = await newKeyPair();
    const bad = [
      await sign(haltOf([agent]), other),
      await sign(haltOf([agent]), scene.plane.streamKey),
      await sign(haltOf([agent]), { ...other, kid: scene.plane.haltKey.kid }),
      await sign(haltOf([agent], { tenant: newId('tenant') })),
      await sign(haltOf([agent], { not_after: Date.now() + 400 * 86_400_000 })),
      await signJws(scene.plane.haltKey, typOf('emergency'), {
        ...haltOf([agent]),
        type: 'emergency',
      }),
      `${header}.${Buffer.from(JSON.stringify(haltOf([agent]))).toString('base64url')}.${signature}`,
      `${header}.${payload}.`,
      'nothing at all',
      '',
    ];
    for (const jws of bad)
      expect(await ep.halt(jws)).toEqual({ outcome: 'refused', why: 'not_signed' });
    const dropped = () => Object.values(ep.droppedMessages()).reduce((sum, n) => sum + n, 0);
    const before = dropped();
    for (const jws of bad) scene.plane.broadcast('emergency', jws);
    await eventually(() => expect(dropped()).toBe(before + bad.length));
    expect(await decide(ep, agent)).toBe('allow');
    const late = await sign(haltOf([agent], { not_after: Date.now() - 60_000 }));
    expect(await ep.halt(late)).toEqual({ outcome: 'refused', why: 'expired' });
    expect(await decide(ep, agent)).toBe('allow');
    // The protection off: the same text, unspoiled, stops it.
    expect(await ep.halt(good)).toMatchObject({ outcome: 'enforced' });
    expect(await decide(ep, agent)).toBe('agent_revoked');
  });

  it('obeys a key that the stream has announced, no key that it has ended, and remembers that', async () => {
    const keyDirectory = join(scene.folder, 'keys');
    const ep = await connected({ keyDirectory });
    const [one, two] = [await scene.plane.token(), await scene.plane.token()];
    const key = await newKeyPair();
    const op = { op: 'key', purpose: 'halt', kid: key.kid } as const;
    const announce = async (state: 'live' | 'dead') => {
      const jwk = state === 'live' ? { jwk: key.jwk } : {};
      const { jws, seq } = await scene.plane.append({ ...op, state, ...jwk });
      scene.plane.broadcast('stream', jws);
      await eventually(() => expect(ep.state().applied).toBe(seq));
    };
    await announce('live');
    expect(await ep.halt(await sign(haltOf([one]), key))).toMatchObject({ outcome: 'enforced' });
    await announce('dead');
    expect(await ep.halt(await sign(haltOf([two]), key))).toMatchObject({ why: 'not_signed' });
    // What it had stopped while it lived stays stopped; tokens and the stream are none of its business.
    expect([await decide(ep, one), await decide(ep, two)]).toEqual(['agent_revoked', 'allow']);
    await eventually(() =>
      expect(readFileSync(join(keyDirectory, 'halt-keys.json'), 'utf8')).toMatch(
        new RegExp(`"dead":\\["${key.kid}"\\]`),
      ),
    );
  });

  it('is not forgotten for a damaged file: the enforcement point does not start', async () => {
    const keyDirectory = join(scene.folder, 'damaged');
    const ep = await connected({ keyDirectory });
    await ep.close();
    writeFileSync(join(keyDirectory, 'emergencies.json'), '{"v":1,"op');
    await expect(connected({ keyDirectory })).rejects.toThrow('emergencies.json');
    writeFileSync(
      join(keyDirectory, 'emergencies.json'),
      '{"v":1,"now":0,"open":[],"resolved":[]}',
    );
    await expect(connected({ keyDirectory })).resolves.toBeDefined();
  });
});

describe('an emergency', () => {
  it('over the broker survives a restart, and the sibling is admitted after it', async () => {
    const keyDirectory = join(scene.folder, 'emergency');
    const first = await connected({ keyDirectory });
    const [doomed, sibling] = [await scene.plane.token(), await scene.plane.token()];
    const { reason: _, ...emergency } = haltOf([doomed], { type: 'emergency' as never });
    const signed = await signJws(scene.plane.streamKey, typOf('emergency'), emergency);
    scene.plane.broadcast('emergency', signed);
    await eventually(async () => expect(await decide(first, doomed)).toBe('agent_revoked'));
    await eventually(() =>
      expect(readFileSync(join(keyDirectory, 'emergencies.json'), 'utf8')).toContain(doomed.agent),
    );
    await first.close();
    const second = await connected({ keyDirectory });
    expect([await decide(second, doomed), await decide(second, sibling)]).toEqual([
      'agent_revoked',
      'allow',
    ]);
  });
});

describe('a call that drains', () => {
  it('is uncontrolled in receipts while it runs, and completed in one that comes when it has ended', async () => {
    const ep = await connected();
    const [drained, sibling] = [await scene.plane.token(), await scene.plane.token()];
    let free = () => {};
    const work = ep.guard(drained.token, { tool }, async () => {
      await new Promise<void>((resolve) => (free = resolve));
      return 'done';
    });
    await eventually(() => expect(ep.state().inFlight).toBe(1));
    const subject = `agent:${drained.agent}`;
    const op = { op: 'floor', subject, generation: 2, in_flight: 'drain' } as const;
    const { jws, seq, killId } = await scene.plane.append(op);
    scene.plane.broadcast('stream', jws);
    const counted = (uncontrolled: number, completed: number) =>
      eventually(() => {
        const last = scene.plane.receiptsFor(ep.state().bootId).at(-1);
        expect(last?.applied).toBe(seq);
        expect(last?.in_flight[killId]).toEqual({ aborted: 0, completed, uncontrolled });
      });
    await counted(1, 0);
    expect([await decide(ep, drained), await decide(ep, sibling)]).toEqual([
      'agent_revoked',
      'allow',
    ]);
    free();
    await expect(work).resolves.toBe('done');
    await counted(0, 1);
  });
});

async function stopped(signal: AbortSignal): Promise<never> {
  return await new Promise<never>((_, reject) =>
    signal.addEventListener('abort', () => reject(new Error('stopped'))),
  );
}
