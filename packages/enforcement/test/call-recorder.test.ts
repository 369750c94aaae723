import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallBatch, type CallRecord } from '@sever/protocol';
import { CallRecorder, type RecorderLimits } from '../src/calls/call-recorder';
import type { SeenCall } from '../src/calls/seen-call';
import { verifiedToken } from './support/verified-token';

const { caller } = verifiedToken({ agent: 'agt_leaf', ancestors: ['agt_root'] });

function seen(path: string, more: Partial<SeenCall> = {}): SeenCall {
  return {
    ...{ caller, startedAt: 1_767_225_600_000, durationMs: 3.25, method: 'GET', path },
    ...{ decision: 'allow', stale: false, outcome: 'completed' },
    ...more,
  };
}

/** Time that passes only when the test says so. */
class HandTime {
  private at = 0;
  private timers: { due: number; run: () => void }[] = [];

  constructor(private readonly settled: () => Promise<void>) {}

  readonly clock = { monotonic: () => this.at, wall: () => 1_767_225_600_000 + this.at };
  readonly after = (ms: number, run: () => void): (() => void) => {
    const timer = { due: this.at + ms, run };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((one) => one !== timer));
  };

  /** Lets time pass, and everything settle that it sets going: files take turns of their own. */
  async pass(ms: number): Promise<void> {
    const end = this.at + ms;
    for (;;) {
      await this.settled();
      const [next] = this.timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due);
      if (next === undefined) break;
      this.timers = this.timers.filter((one) => one !== next);
      this.at = Math.max(this.at, next.due);
      next.run();
    }
    this.at = end;
    await this.settled();
  }
}

/** A control plane that keeps records by their ids, and does what the test says. */
class Plane {
  readonly kept = new Map<string, CallRecord>();
  batches = 0;
  /** Batches that are never answered. */
  waiting = 0;
  answers: 'taken' | 'silent' | 'busy' | 'malformed' | 'never' | 'lost' = 'taken';

  readonly sendCalls = async (message: string): Promise<Uint8Array> => {
    this.batches += 1;
    if (this.answers === 'silent') throw new Error('nobody answers');
    if (this.answers === 'never') {
      this.waiting += 1;
      return await new Promise<never>(() => undefined);
    }
    if (this.answers === 'busy' || this.answers === 'malformed')
      return json({ type: 'calls-refused', v: 1, code: this.answers, detail: 'no' });
    const { records } = CallBatch.parse(JSON.parse(message));
    for (const record of records) this.kept.set(record.id, record);
    if (this.answers === 'lost') throw new Error('the answer was lost');
    return json({ type: 'calls-taken', v: 1, stored: records.length, known: 0, outside: 0 });
  };

  get paths(): string[] {
    return [...this.kept.values()].map(({ path }) => path ?? '');
  }
}

const json = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));

describe('records of calls', () => {
  let folder: string;
  let time: HandTime;
  let plane: Plane;
  const open: CallRecorder[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sever-calls-'));
    plane = new Plane();
    time = new HandTime(async () => {
      do await new Promise((resolve) => setImmediate(resolve));
      while (plane.waiting === 0 && open.some((one) => !one['closed'] && one['working'] !== null));
    });
  });

  afterEach(async () => {
    await Promise.all(open.splice(0).map((recorder) => recorder.close(0)));
    rmSync(folder, { recursive: true, force: true });
  });

  function recorder(limits: Partial<RecorderLimits> = {}, mayUse = () => true): CallRecorder {
    const silent = () => undefined;
    const made = new CallRecorder({
      ...{ tenant: 'ten_1', ep: 'enf_1', bootId: 'bot_1', directory: join(folder, 'calls') },
      signer: { sign: (_typ, claims) => Promise.resolve(JSON.stringify(claims)) },
      transport: plane,
      logger: { info: silent, warn: silent, error: silent },
      clock: time.clock,
      timers: time,
      random: () => 1,
      mayUse,
      limits,
    });
    open.push(made);
    return made;
  }

  /** Closes it; time passes only as far as that needs. */
  const closed = async (one: CallRecorder, withinMs: number): Promise<void> => {
    let isClosed = false;
    const closing = one.close(withinMs).then(() => (isClosed = true));
    for (let turn = 0; turn < 50_000 && !isClosed; turn += 1) {
      if (plane.waiting > 0) await time.pass(withinMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    plane.waiting = 0;
    await closing;
  };

  it('travel together, and each says who, for whom and what came of it', async () => {
    const calls = recorder();
    calls.record(seen('/a?key=secret', { code: 'agent_revoked', outcome: 'aborted' }));
    calls.record(seen('/b'));
    expect(calls.counts()).toMatchObject({ sent: 0, waiting: 2 });
    await time.pass(250);
    expect(plane.batches).toBe(1);
    expect(calls.counts()).toMatchObject({ sent: 2, waiting: 0, spooled: 0 });
    const [record] = plane.kept.values();
    expect(record).toMatchObject({
      ...{ chain: ['agt_root', 'agt_leaf'], initiator: 'ini_1', credential: 'crd_agt_leaf' },
      ...{ method: 'GET', path: '/a', code: 'agent_revoked', outcome: 'aborted' },
      ...{ duration_ms: 3.25, started_at: 1_767_225_600_000 },
    });
  });

  it('are kept on the disk while nobody takes them, and sent in order once somebody does', async () => {
    const calls = recorder();
    plane.answers = 'silent';
    for (let n = 0; n < 20; n += 1) {
      calls.record(seen(`/${n}`));
      await time.pass(400);
    }
    await time.pass(2_000);
    expect(calls.counts()).toMatchObject({ sent: 0, spooled: 20 });
    plane.answers = 'taken';
    await time.pass(6_000);
    expect(plane.paths).toEqual(Array.from({ length: 20 }, (_, n) => `/${n}`));
    expect(calls.counts()).toMatchObject({ sent: 20, waiting: 0, spooled: 0 });
    expect(readdirSync(join(folder, 'calls'))).toEqual([]);
  });

  it('outlive the process: the next one sends what this one could not', async () => {
    const before = recorder();
    plane.answers = 'silent';
    before.record(seen('/before'));
    await closed(before, 500);
    expect(readdirSync(join(folder, 'calls'))).toHaveLength(1);
    plane.answers = 'taken';
    const after = recorder();
    after.record(seen('/after'));
    after.start();
    await time.pass(1_000);
    expect(plane.paths).toEqual(['/before', '/after']);
  });

  it('are all sent when it closes, without waiting for others to travel with', async () => {
    const calls = recorder();
    for (let n = 0; n < 1_200; n += 1) calls.record(seen(`/${n}`));
    await closed(calls, 1_000);
    expect(plane.kept.size).toBe(1_200);
    expect(calls.counts()).toMatchObject({ sent: 1_200, waiting: 0, spooled: 0 });
  });

  it('that are on their way when it closes are written down, since nobody has confirmed them', async () => {
    const calls = recorder();
    plane.answers = 'never';
    calls.record(seen('/on-its-way'));
    await time.pass(300);
    await closed(calls, 500);
    plane.answers = 'taken';
    recorder().start();
    await time.pass(500);
    expect(plane.paths).toEqual(['/on-its-way']);
  });

  it('told twice because an answer was lost have the same id', async () => {
    const calls = recorder();
    plane.answers = 'lost';
    calls.record(seen('/once'));
    await time.pass(300);
    plane.answers = 'taken';
    await time.pass(2_000);
    expect(plane.batches).toBeGreaterThan(1);
    expect(plane.kept.size).toBe(1);
  });

  it('leave the oldest behind when the disk has its fill, and say how many', async () => {
    const calls = recorder({ spoolBytes: 200_000 });
    plane.answers = 'silent';
    for (let n = 0; n < 2_000; n += 1) calls.record(seen(`/${n}`));
    await time.pass(10_000);
    const { spooled, dropped } = calls.counts();
    expect(dropped.spool_full).toBeGreaterThan(0);
    expect(spooled + dropped.spool_full).toBe(2_000);
    plane.answers = 'taken';
    await time.pass(10_000);
    expect(plane.paths.at(-1)).toBe('/1999');
    expect(plane.paths[0]).toBe(`/${dropped.spool_full}`);
    expect(plane.kept.size).toBe(2_000 - dropped.spool_full);
  });

  it('leave the oldest behind when memory has its fill, and a call never waits', () => {
    const calls = recorder({ queueRecords: 100 });
    plane.answers = 'never';
    for (let n = 0; n < 500; n += 1) calls.record(seen(`/${n}`));
    const { waiting, dropped } = calls.counts();
    expect(waiting).toBeLessThanOrEqual(100);
    expect(waiting + dropped.queue_full).toBe(500);
    expect(plane.batches).toBe(0);
  });

  it('wait while something more urgent has to be sent', async () => {
    let urgent = true;
    const calls = recorder({}, () => !urgent);
    calls.record(seen('/a'));
    await time.pass(3_000);
    expect(plane.batches).toBe(0);
    urgent = false;
    await time.pass(1_000);
    expect(plane.paths).toEqual(['/a']);
  });

  it('that are refused for good are counted and not sent again; those refused for now are', async () => {
    const calls = recorder();
    plane.answers = 'malformed';
    calls.record(seen('/never'));
    await time.pass(300);
    plane.answers = 'busy';
    calls.record(seen('/later'));
    await time.pass(300);
    expect(calls.counts()).toMatchObject({ sent: 0, dropped: { refused: 1 } });
    plane.answers = 'taken';
    await time.pass(3_000);
    expect(plane.paths).toEqual(['/later']);
  });

  it('hold nothing that a database would not take, whatever an agent wrote', async () => {
    const calls = recorder();
    calls.record(seen(`/nul\u0000and half\ud800 ${'x'.repeat(5_000)}`, { tool: 'up/\udc00' }));
    await time.pass(300);
    const [record] = plane.kept.values();
    expect(record?.path?.startsWith('/nul\ufffdand half\ufffd ')).toBe(true);
    expect(record?.path?.length).toBe(2_048);
    expect(record?.tool).toBe('up/\ufffd');
  });

  it('survive a last line that a crash cut short', async () => {
    const before = recorder();
    plane.answers = 'silent';
    before.record(seen('/whole'));
    await closed(before, 300);
    const [name] = readdirSync(join(folder, 'calls'));
    const file = join(folder, 'calls', name as string);
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"id":"cal_`);
    plane.answers = 'taken';
    const after = recorder();
    after.start();
    await time.pass(500);
    expect(plane.paths).toEqual(['/whole']);
    expect(after.counts()).toMatchObject({ sent: 1, spooled: 0, dropped: { malformed: 1 } });
  });

  it('are counted when the disk does not take them', async () => {
    writeFileSync(join(folder, 'calls'), 'a file where the directory should be');
    const calls = recorder();
    plane.answers = 'silent';
    calls.record(seen('/a'));
    await time.pass(2_000);
    expect(calls.counts()).toMatchObject({ waiting: 0, dropped: { spool_failed: 1 } });
  });
});
