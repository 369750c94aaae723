import { MAX_TOKEN_SECONDS, type Lineage } from '@sever/protocol';

export const TENANT = 'ten_1';

/** A tree of four, one alone that gets killed, and one alone that nobody ever touches. */
export const ANCESTORS: Readonly<Record<string, readonly string[]>> = {
  root: [],
  left: ['root'],
  leaf: ['root', 'left'],
  right: ['root'],
  alone: [],
  survivor: [],
};
/** Those that orders are given about. */
export const TARGETS = ['root', 'left', 'leaf', 'right', 'alone'] as const;

/** A token's lineage as it was when the token was minted, and the key that signed it. */
export interface Credential {
  readonly name: string;
  readonly agent: string;
  readonly kid: string;
  readonly lineage: Lineage;
  /** On the database's clock. */
  readonly expiresAtMs: number;
}

/** All credentials that were ever minted: none of them is forgotten, for a dead one must stay dead. */
export class Population {
  readonly credentials: Credential[] = [];

  constructor(private readonly now: () => number) {
    for (const agent of Object.keys(ANCESTORS)) this.mint(agent, () => 1, 'key_1');
  }

  newest(agent: string): Credential {
    return this.credentials.filter((one) => one.agent === agent).at(-1) as Credential;
  }

  /** @param kid the key that signs it */
  mint(agent: string, generationOf: (subject: string) => number, kid: string): void {
    const path = [...(ANCESTORS[agent] ?? []), agent].map((id) => `agent:${id}`);
    const pairs = [`tenant:${TENANT}`, ...path].map(
      (subject) => [subject, generationOf(subject)] as const,
    );
    const lineage = [...pairs, [`signing_key:${kid}`, 1] as const];
    const name = `${agent}/${this.credentials.length}`;
    const expiresAtMs = this.now() + MAX_TOKEN_SECONDS * 1_000;
    this.credentials.push({ name, agent, kid, lineage, expiresAtMs });
  }
}
