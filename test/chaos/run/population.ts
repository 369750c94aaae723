import type { Lineage } from '@sever/protocol';
import type { Randomness } from '../../model/randomness';
import type { History } from '../history/history';
import { now } from './tap';

export interface Credential {
  readonly id: string;
  readonly token: string;
  readonly lineage: Lineage;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

export interface Agent {
  readonly id: string;
  readonly root: string;
  /** Its first credential. */
  readonly token: string;
}

/** Credentials that probing prefers stay interesting for this many later orders. */
const RECENT = 40;

/** Every agent and credential that a run has made, with what their tokens say of them. */
export class Population {
  readonly agents: Agent[] = [];
  readonly credentials: Credential[] = [];
  private readonly recent: Credential[] = [];

  constructor(private readonly history: History) {}

  agent(agent: Agent): void {
    this.agents.push(agent);
  }

  credential(token: string): void {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      jti: string;
      lin: Lineage;
      exp: number;
    };
    const { jti: id, lin: lineage, exp } = claims;
    this.credentials.push({ id, token, lineage, expiresAt: exp * 1_000 });
    this.history.add({ kind: 'credential', at: now(), credential: id, lineage });
  }

  /** An order on this subject has been sent. */
  ordered(subject: string): void {
    this.history.add({ kind: 'ask', at: now(), subject });
    this.recent.unshift(
      ...this.credentials.filter(({ lineage }) => lineage.some(([one]) => one === subject)),
    );
    this.recent.length = Math.min(this.recent.length, RECENT);
  }

  /** One to ask about: often one that an order was meant for. */
  pick(random: Randomness): Credential | undefined {
    return random.chance(0.6)
      ? (random.pick(this.recent) ?? random.pick(this.credentials))
      : random.pick(this.credentials);
  }
}
