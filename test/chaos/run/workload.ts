import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kill, KillReceipt, MintReply, SpawnReply } from '@sever/protocol';
import { parsePosition } from '@sever/protocol';
import type { Randomness } from '../../model/randomness';
import type { History } from '../history/history';
import type { Answer, Api } from './api';
import type { Agent, Population } from './population';
import { now } from './tap';

const SCOPES = ['tool:*'];
/** Orders and spawns under way at once; more would only measure the machine. */
const MAX_UNDER_WAY = 24;
const WAITS = ['0', '300ms', '2s'];

export interface Acknowledged {
  readonly id: string;
  readonly idempotencyKey: string;
}

/** What users do all day, from one seed: spawn, mint, kill, suspend and lift. */
export class Workload {
  /** What was answered with 2xx: none of it may ever be lost. */
  readonly acknowledged: Acknowledged[] = [];
  readonly counts: Record<string, number> = {};
  /** What the interface answered that it must not. */
  readonly faults: string[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private stopped = false;

  constructor(
    private readonly ports: {
      readonly api: Api;
      readonly population: Population;
      readonly history: History;
      readonly random: Randomness;
    },
  ) {}

  /** Until `stop`. */
  async run(): Promise<void> {
    const { random, population } = this.ports;
    while (!this.stopped) {
      if (this.underWay.size < MAX_UNDER_WAY)
        this.start(random.next(), random.pick(population.agents));
      await delay(random.between(20, 120));
    }
    await Promise.all(this.underWay);
  }

  stop(): void {
    this.stopped = true;
  }

  /** Sends a kill and remembers that it must hold. @returns its record, or `null` when it was refused or the run is over */
  async kill(subjects: readonly { kind: string; id: string }[], wait = '0'): Promise<Kill | null> {
    const reason = 'a run of chaos';
    return await this.order(`/v1/kills?wait=${wait}`, subjects, { subjects, reason });
  }

  /** The same, without waiting for it; the run does not end before it is answered. */
  killMeanwhile(subjects: readonly { kind: string; id: string }[]): void {
    this.track(this.kill(subjects).then(() => undefined));
  }

  /** A kill that one replica is asked for first; it is ordered again, under the same key, until it is answered. */
  async killAt(url: string, id: string): Promise<void> {
    const { api, population } = this.ports;
    const path = `/v1/agents/${id}/kill?wait=0`;
    const body = { reason: 'a run of chaos' };
    const idempotencyKey = randomUUID();
    population.ordered(`agent:${id}`);
    await api.once('POST', path, { body, idempotencyKey, url });
    this.track(
      api.order(path, body, idempotencyKey).then((answer) => {
        this.count(answer, 'kill');
        if (answer !== null && answer.status < 300)
          this.acknowledged.push({ id: String(answer.body.id), idempotencyKey });
      }),
    );
  }

  async spawnRoot(): Promise<Agent | null> {
    return await this.spawn({
      initiator: { subject: `user ${this.ports.population.agents.length}` },
    });
  }

  private start(dice: number, agent: Agent | undefined): void {
    const act = async (): Promise<void> => {
      const few = this.ports.population.agents.length < 20;
      if (few || agent === undefined || dice < 0.2) return void (await this.spawnRoot());
      if (dice < 0.45) return void (await this.spawn({}, agent.token));
      if (dice < 0.6) return await this.mint(agent);
      if (dice < 0.9) return await this.killAgent(agent);
      return await this.suspendForAWhile(agent);
    };
    this.track(act());
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => void this.faults.push(String(error)))
      .finally(() => this.underWay.delete(tracked));
    this.underWay.add(tracked);
  }

  private async killAgent({ id }: Agent): Promise<void> {
    const wait = this.ports.random.pick(WAITS) ?? '0';
    const kill = await this.kill([{ kind: 'agent', id }], wait);
    if (kill?.state === 'contained') await this.confirm(kill.id);
  }

  private async suspendForAWhile({ id }: Agent): Promise<void> {
    const subjects = [{ kind: 'agent', id }];
    const suspension = await this.order(`/v1/agents/${id}/suspend?wait=0`, subjects, {
      reason: 'a run of chaos',
    });
    if (suspension === null) return;
    await delay(this.ports.random.between(500, 3_000));
    this.count(
      await this.ports.api.order(`/v1/kills/${suspension.id}/lift`, { reason: 'over' }),
      'lift',
    );
  }

  private async order(
    path: string,
    subjects: readonly { kind: string; id: string }[],
    body: object,
  ): Promise<Kill | null> {
    const { api, population } = this.ports;
    for (const { kind, id } of subjects) population.ordered(`${kind}:${id}`);
    const idempotencyKey = randomUUID();
    const answer = await api.order(path, body, idempotencyKey);
    this.count(answer, path.includes('suspend') ? 'suspend' : 'kill');
    if (answer === null || answer.status >= 300) return null;
    const kill = answer.body as unknown as Kill;
    this.acknowledged.push({ id: kill.id, idempotencyKey });
    // Under the same key there is one order, whichever replica is asked; the oracle sees that both answers name it.
    if (this.ports.random.chance(0.2)) {
      const again = await api.order(path, body, idempotencyKey);
      if (again !== null && again.status < 300)
        this.acknowledged.push({ id: String(again.body.id), idempotencyKey });
    }
    return kill;
  }

  /** Who is counted on when the control plane says contained? */
  async confirm(id: string): Promise<void> {
    const { api, history } = this.ports;
    const at = now();
    const answer = await api.once('GET', `/v1/kills/${id}`);
    const kill = answer?.body as unknown as Kill | undefined;
    if (answer?.status !== 200 || kill?.state !== 'contained') return;
    const said = now();
    const receipts = await api.once('GET', `/v1/kills/${id}/receipts`);
    if (receipts?.status !== 200) return;
    const position = parsePosition(kill.stream_token);
    if (position === null) return;
    const items = receipts.body.items as KillReceipt[];
    const common = { kind: 'contained', at, order: id, position } as const;
    history.add({ ...common, until: said, by: [] });
    history.add({
      ...common,
      until: now(),
      by: items.map(({ enforcement_point: { id: point, mode }, boot_id: boot, status }) => ({
        ...{ point, boot, status, mode },
      })),
    });
    this.count(answer, 'contained');
  }

  private async spawn(extra: object, key?: string): Promise<Agent | null> {
    const { api, population } = this.ports;
    const body = { name: 'an agent', scopes: SCOPES, ...extra };
    const answer = await api.once('POST', '/v1/agents', { body, ...(key && { key }) });
    this.count(answer, 'spawn');
    if (answer?.status !== 201) return null;
    const { agent, credential } = answer.body as unknown as SpawnReply;
    const born = { id: agent.id, root: agent.root_id, token: credential.token };
    population.credential(credential.token);
    population.agent(born);
    return born;
  }

  private async mint({ id, token }: Agent): Promise<void> {
    const { api, population } = this.ports;
    const answer = await api.once('POST', `/v1/agents/${id}/credentials`, { body: {}, key: token });
    this.count(answer, 'mint');
    if (answer?.status === 201)
      population.credential((answer.body as unknown as MintReply).credential.token);
  }

  private count(answer: Answer | null, what: string): void {
    const how = answer === null ? 'unanswered' : String(answer.status);
    this.counts[`${what} ${how}`] = (this.counts[`${what} ${how}`] ?? 0) + 1;
  }
}
