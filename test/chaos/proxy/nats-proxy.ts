import type { Server } from 'node:net';
import { Randomness } from '../../model/randomness';
import {
  ChaosProxy,
  DIRECTIONS,
  listen,
  portsOf,
  type Direction,
  type Link,
  type Passage,
} from './chaos-proxy';
import { delivery, matches, NatsFrames, type Frame } from './nats-frames';
import { RuleAtWork, type Rule } from './rule';
import { CLEAR, type Conditions } from './way';

/** A message as it came to the proxy, before any rule touched it. */
export interface Passing {
  /** `process.hrtime.bigint()` */
  readonly at: bigint;
  /** The name that the client gave of itself. */
  readonly client: string;
  readonly direction: Direction;
  readonly subject: string;
  /** Where an answer is asked for. */
  readonly reply?: string;
  readonly payload: Buffer;
}

export interface Recording {
  readonly messages: readonly Passing[];
  stop(): void;
}

/** One client's connection: who it is, and what it has subscribed to. */
class NatsPassage implements Passage {
  client = '';
  private readonly sids = new Map<string, string>();
  private readonly readers: Record<Direction, NatsFrames> = {
    to_server: new NatsFrames(),
    to_client: new NatsFrames(),
  };

  constructor(
    private readonly link: Link,
    private readonly proxy: NatsProxy,
  ) {}

  pass(direction: Direction, chunk: Buffer): void {
    for (const frame of this.readers[direction].push(chunk)) {
      if (direction === 'to_server') this.learn(frame);
      this.proxy.frame(this, direction, frame, (one) => this.link.send(direction, one.raw));
    }
  }

  setConditions(conditions: Conditions, directions: readonly Direction[]): void {
    for (const direction of directions) this.link.ways[direction].set(conditions);
  }

  reset(): void {
    this.close();
    this.link.reset();
  }

  halfOpen(gone: 'client' | 'server'): void {
    this.close();
    this.link.halfOpen(gone);
  }

  /** Gives the client a message as if the server had delivered it. @returns false when it does not listen there */
  inject(subject: string, payload: Buffer): boolean {
    for (const [sid, pattern] of this.sids)
      if (matches(pattern, subject)) {
        this.link.send('to_client', delivery(subject, sid, payload));
        return true;
      }
    return false;
  }

  /** From here on nobody is reached through it. */
  close(): void {
    this.proxy.passages.delete(this);
  }

  private learn({ op, words, subject, sid }: Frame): void {
    if (op === 'CONNECT') {
      this.client = (JSON.parse(words[0] ?? '{}') as { name?: string }).name ?? '';
      this.proxy.named(this);
    }
    if (op === 'SUB' && subject !== undefined && sid !== undefined) this.sids.set(sid, subject);
    // With a maximum it goes on until then; forgetting too late only injects what nobody hears.
    if (op === 'UNSUB' && sid !== undefined && words.length === 1) this.sids.delete(sid);
  }
}

/**
 * The proxy in front of a NATS server. It reads every frame, so that it can do harm by subject and direction, tell who
 * is who by the name in CONNECT, write down what passes, and give it again.
 */
export class NatsProxy extends ChaosProxy {
  readonly passages = new Set<NatsPassage>();
  private readonly rules = new Set<RuleAtWork>();
  private readonly observers = new Set<(message: Passing) => void>();
  private readonly ofClient = new Map<string, Partial<Record<Direction, Conditions>>>();

  private constructor(
    server: Server,
    port: number,
    upstreams: () => readonly number[],
    private readonly random: Randomness,
  ) {
    super(server, port, upstreams);
  }

  /** @param seed of what rules do by chance */
  static override async to(
    upstreams: number | (() => readonly number[]),
    seed = 1,
  ): Promise<NatsProxy> {
    const { server, port } = await listen();
    return new NatsProxy(server, port, portsOf(upstreams), new Randomness(seed));
  }

  /** Rules are met in the order in which they were imposed. @returns what takes the rule back */
  impose(rule: Rule): () => void {
    const atWork = new RuleAtWork(rule, new Randomness(Math.floor(this.random.next() * 2 ** 31)));
    this.rules.add(atWork);
    return () => void this.rules.delete(atWork);
  }

  /** Every message, before rules touch it. @returns what ends the watch */
  observe(observer: (message: Passing) => void): () => void {
    this.observers.add(observer);
    return () => void this.observers.delete(observer);
  }

  record(subject: string, direction: Direction): Recording {
    const messages: Passing[] = [];
    const stop = this.observe((message) => {
      if (message.direction === direction && matches(subject, message.subject))
        messages.push(message);
    });
    return { messages, stop };
  }

  /** Gives a client messages once more. @returns how many it listens for */
  replay(client: string, messages: readonly Pick<Passing, 'subject' | 'payload'>[]): number {
    return messages.filter(({ subject, payload }) =>
      this.of(client).some((passage) => passage.inject(subject, payload)),
    ).length;
  }

  /** Conditions for one client, for its connection and those that it makes later. */
  setClient(
    client: string,
    conditions: Conditions,
    directions: readonly Direction[] = DIRECTIONS,
  ): void {
    const set = { ...this.ofClient.get(client) };
    for (const direction of directions) set[direction] = conditions;
    this.ofClient.set(client, set);
    for (const passage of this.of(client)) passage.setConditions(conditions, directions);
  }

  healClient(client: string): void {
    const set = this.ofClient.get(client) ?? {};
    this.ofClient.delete(client);
    if (DIRECTIONS.some((direction) => set[direction]?.lost)) this.resetClient(client);
    else for (const passage of this.of(client)) passage.setConditions(CLEAR, DIRECTIONS);
  }

  resetClient(client: string): void {
    for (const passage of this.of(client)) passage.reset();
  }

  halfOpenClient(client: string, gone: 'client' | 'server'): void {
    for (const passage of this.of(client)) passage.halfOpen(gone);
  }

  /** A connection has said whose it is. */
  named(passage: NatsPassage): void {
    for (const [direction, conditions] of Object.entries(this.ofClient.get(passage.client) ?? {}))
      passage.setConditions(conditions, [direction as Direction]);
  }

  frame(
    { client }: NatsPassage,
    direction: Direction,
    frame: Frame,
    send: (frame: Frame) => void,
  ): void {
    const { subject, payload, reply } = frame;
    if (subject !== undefined && payload !== undefined && this.observers.size > 0) {
      const address = { client, direction, subject, ...(reply !== undefined && { reply }) };
      const message = { at: process.hrtime.bigint(), ...address, payload };
      for (const observer of this.observers) observer(message);
    }
    const rules = [...this.rules];
    // What one rule lets through, or makes of it, meets the next.
    const meet = (one: Frame, from: number): void => {
      for (let at = from; at < rules.length; at += 1) {
        const rule = rules[at] as RuleAtWork;
        if (rule.concerns(direction, client, one))
          return rule.apply(one, (result) => meet(result, at + 1));
      }
      send(one);
    };
    meet(frame, 0);
  }

  protected override open(link: Link): Passage {
    const passage = new NatsPassage(link, this);
    this.passages.add(passage);
    return passage;
  }

  private of(client: string): NatsPassage[] {
    return [...this.passages].filter((passage) => passage.client === client);
  }
}
