import { setTimeout as delay } from 'node:timers/promises';
import { atMost } from '../measure/in-turns';
import { median, summarize } from '../measure/statistics';
import type { Figure, Result } from '../report/result';
import type { Living } from '../stage/api';
import { Child } from '../stage/processes';
import { checkOpenFiles } from './open-files';
import { SCOPES, withSidecar, type SidecarStage } from './sidecar-stage';
import type { StreamsSeen } from './streams-process';

export interface StreamsOptions {
  readonly agents: number;
  /** Streams of each agent. */
  readonly each: number;
  /** Agents killed one after the other, with no other streams at the sidecar and then with all. */
  readonly kills: number;
  /** How often each stream says something, milliseconds. */
  readonly everyMs: number;
  readonly say: (line: string) => void;
}

const SPAWNING_AT_ONCE = 8;
const LOOK_MS = 50;
const GIVE_UP_MS = 90_000;

/** Thousands of event streams through one sidecar: its memory, and what the kill of one agent does to them. */
export async function sidecarStreams(options: StreamsOptions): Promise<Result[]> {
  const { agents, each, kills, everyMs, say } = options;
  checkOpenFiles((agents + kills) * each);
  say(`sidecar-streams: ${agents * each} streams of ${agents} agents`);
  return await withSidecar(everyMs, async (running) => {
    const client = running.opened.stop(Child.start('bench/sidecar/streams-process.ts'));
    const run = new Run(running, client, each);
    const few = await run.spawn(kills);
    const many = await run.spawn(agents);
    // The first streams of all: what a process takes once, whoever comes, is not theirs.
    await run.openFor(few);
    const idle = await run.memory();
    const alone = await run.killEach(few, few);
    await run.openFor(many);
    const open = await running.upstream.child.ask<number>('open');
    // Garbage of the opening has had a chance to go by then.
    await run.hearMore(2, few);
    const loaded = await run.memory();
    const victims = many.slice(0, kills);
    const among = await run.killEach(victims, [...few, ...victims]);
    say(`sidecar-streams: ${victims.length} killed; do the others go on?`);
    const survivors = await run.hearMore(2, [...few, ...victims]);
    return [report(options, { idle, loaded, open, alone, among, survivors })];
  });
}

interface KillSeen {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly answeredMs: number;
  readonly refused: number;
}

interface Measured {
  readonly idle: number;
  readonly loaded: number;
  readonly open: number;
  readonly alone: readonly KillSeen[];
  readonly among: readonly KillSeen[];
  readonly survivors: StreamsSeen;
}

class Run {
  constructor(
    private readonly running: SidecarStage,
    private readonly client: Child,
    private readonly each: number,
  ) {}

  async spawn(count: number): Promise<Living[]> {
    const living: Living[] = [];
    await atMost(SPAWNING_AT_ONCE, Array.from({ length: count }), async (_, at) => {
      living.push(await this.running.stage.api.spawnRoot(`streams ${at}`, SCOPES));
    });
    return living;
  }

  async openFor(agents: readonly Living[]): Promise<void> {
    const url = `${this.running.sidecar.url}/plain/stream`;
    await this.client.ask('open', { url, agents, each: this.each });
  }

  /** Bytes of the sidecar's process that are in memory, by its own metrics. */
  async memory(): Promise<number> {
    const text = await (await fetch(`${this.running.sidecar.url}/metrics`)).text();
    const [, bytes] = /^process_resident_memory_bytes (\S+)$/m.exec(text) ?? [];
    if (bytes === undefined) throw new Error('the sidecar does not say how much memory it takes');
    return Number(bytes);
  }

  /** Kills one after the other; each must cut all streams of its agent and no others. */
  async killEach(victims: readonly Living[], without: readonly Living[]): Promise<KillSeen[]> {
    const { api } = this.running.stage;
    const seen: KillSeen[] = [];
    for (const { id } of victims) {
      const before = await this.others(without);
      const { sentAt, answeredAt, body } = await api.kill(id, '30s');
      if (body.state !== 'contained') throw new Error(`a kill was ${body.state}, not contained`);
      const cut = await this.until(
        () => this.client.ask<StreamsSeen>('of', { agentId: id }),
        ({ open }) => open === 0,
        'streams of a killed agent go on',
      );
      const after = await this.others(without);
      // Also a lease that ran out for too long, on a machine that has too much to do, cuts them: a strict sidecar does so.
      if (after.open !== before.open)
        throw new Error(
          `${before.open - after.open} streams of others ended: ${after.lastWords.join(' ')}`,
        );
      seen.push({
        firstMs: (cut.firstEndedAt ?? NaN) - sentAt,
        lastMs: (cut.lastEndedAt ?? NaN) - sentAt,
        answeredMs: answeredAt - sentAt,
        refused: cut.refused,
      });
    }
    return seen;
  }

  /** Waits until every stream has heard that much more than the one that has heard least by now. */
  async hearMore(events: number, without: readonly Living[] = []): Promise<StreamsSeen> {
    const { leastEvents } = await this.others(without);
    return await this.until(
      () => this.others(without),
      (now) => now.leastEvents >= leastEvents + events,
      'a stream that nobody cut hears nothing more',
    );
  }

  private others(without: readonly Living[]): Promise<StreamsSeen> {
    return this.client.ask('others', { than: without.map(({ id }) => id) });
  }

  private async until(
    look: () => Promise<StreamsSeen>,
    isSo: (seen: StreamsSeen) => boolean,
    otherwise: string,
  ): Promise<StreamsSeen> {
    for (let waited = 0; waited < GIVE_UP_MS; waited += LOOK_MS) {
      const seen = await look();
      if (isSo(seen)) return seen;
      await delay(LOOK_MS);
    }
    throw new Error(otherwise);
  }
}

function report(options: StreamsOptions, measured: Measured): Result {
  const { agents, each, kills } = options;
  const { idle, loaded, open, alone, among, survivors } = measured;
  const bytes = (what: string, value: number): Figure => ({
    ...{ what, role: 'measured', unit: 'bytes' },
    summary: summarize([value]),
  });
  const ms = (what: string, values: readonly number[]): Figure => ({
    ...{ what, role: 'measured', unit: 'ms' },
    summary: summarize(values),
  });
  const lasts = { alone: alone.map(lastOf), among: among.map(lastOf) };
  return {
    benchmark: 'sidecar-streams',
    title: `${(agents * each).toLocaleString('en-US')} event streams through one sidecar`,
    parameters: { agents, streams_per_agent: each, kills, every_ms: options.everyMs },
    figures: [
      bytes(`memory of the sidecar, with ${kills * each} streams`, idle),
      bytes('memory of the sidecar, with all streams', loaded),
      bytes('for each stream more', (loaded - idle) / ((agents - kills) * each)),
      ms('kill → last stream cut, no other streams', lasts.alone),
      ms(
        'kill → first stream cut, among all',
        among.map(({ firstMs }) => firstMs),
      ),
      ms('kill → last stream cut, among all', lasts.among),
      ms(
        'kill → answered as contained, among all',
        among.map(({ answeredMs }) => answeredMs),
      ),
    ],
    goals: [],
    notes: [
      `Among all ÷ alone, to the last stream: ${(median(lasts.among) / median(lasts.alone)).toFixed(2)}.`,
      'Memory is what the system counts as resident, which Node gives back late.',
    ],
    evidence: {
      streams_open: open,
      cut: among.length * each,
      cut_with_refusal: among.reduce((sum, { refused }) => sum + refused, 0),
      others: survivors.streams,
      others_open: survivors.open,
    },
  };
}

function lastOf({ lastMs }: KillSeen): number {
  return lastMs;
}
