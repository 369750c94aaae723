import { createHash } from 'node:crypto';
import { allBroadcasts, Pulse, PULSE_INTERVAL_MS } from '@sever/protocol';
import { type Broker } from '../broker/broker';
import { type Replica } from './replica';

/** A replica whose pulse has not been heard for so long takes no turn. */
const SILENCE_MS = 3 * PULSE_INTERVAL_MS;

/**
 * Every replica hears every request, and one answers. Which one follows from a hash of the request, so that load is
 * spread and nobody has to agree on anything; a replica that hangs loses its turns as soon as its pulse is missed, and
 * the asker, who asks again under another nonce, meets another one.
 */
export class Turn {
  private readonly heard = new Map<string, number>();
  private subscription: { unsubscribe(): void } | undefined;

  constructor(
    private readonly broker: Broker,
    private readonly replica: Replica,
  ) {}

  onModuleInit(): void {
    this.subscription = this.broker.subscribe(allBroadcasts('pulse'), ({ data }) =>
      this.hear(data),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /** @param request anything that all replicas see the same, such as the inbox that the answer goes to */
  isMine(request: string): boolean {
    const since = this.replica.monotonic() - SILENCE_MS;
    let first = { id: this.replica.id, rank: rank(this.replica.id, request) };
    for (const [id, at] of this.heard) {
      if (at < since) this.heard.delete(id);
      else if (rank(id, request) < first.rank) first = { id, rank: rank(id, request) };
    }
    return first.id === this.replica.id;
  }

  /** Unverified: the broker lets control planes alone publish here, and all that is decided is who answers. */
  private hear(data: Uint8Array): void {
    const payload = Buffer.from(data).toString('latin1').split('.')[1] ?? '';
    const parsed = Pulse.safeParse(parse(Buffer.from(payload, 'base64url').toString()));
    if (parsed.success && parsed.data.source !== this.replica.id)
      this.heard.set(parsed.data.source, this.replica.monotonic());
  }
}

function rank(id: string, request: string): string {
  return createHash('sha256').update(`${id} ${request}`).digest('hex');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
