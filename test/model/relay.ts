import { PULSE_INTERVAL_MS, type Position } from '@sever/protocol';
import type { SignedEntry } from '../../packages/enforcement/src/machine-events';
import type { RelayCursor, RelayMark } from '../../src/stream/relay-cursor';
import type { ControlPlane } from './control-plane';

const MOST_AT_ONCE = 3;
/** Entries that a control plane which died may have left unpublished. */
const REPUBLISHED = 10;
/** A commit that nobody has published after so long, by one who could all the while. */
const OVERDUE_MS = 1_000 + PULSE_INTERVAL_MS;

interface Waiting {
  readonly seq: number;
  readonly signed: SignedEntry;
}

/** What carries the cursor of the server's relay: a connection to the broker that may be lost, and a replica that may die. */
export class ModelRelay {
  private readonly cursor: RelayCursor<Waiting>;
  /** Whoever starts publishes again what lies after this. */
  private readonly owes: Position;
  private draining = false;
  private connected: boolean;
  private ended = false;
  private unanswered: RelayMark[] = [];
  /** Since then it could have published whatever it read. */
  private steadySince: number;

  constructor(
    private readonly plane: ControlPlane,
    private readonly send: (signed: SignedEntry) => void,
  ) {
    const { rules, logic, network, time } = plane.around;
    const { epoch, seq } = plane.database.head;
    this.owes = { epoch, seq: Math.max(0, seq - REPUBLISHED) };
    const from = rules.startPublishesAgain ? this.owes : { epoch, seq };
    this.cursor = new logic.RelayCursor<Waiting>(from);
    this.connected = network.brokerUp;
    this.steadySince = time.now;
  }

  end(): void {
    this.ended = true;
  }

  /** Right after a commit: without another read, unless something lies between. */
  committed(entries: readonly SignedEntry[]): void {
    const [first] = entries;
    if (first === undefined) return;
    if (!this.cursor.offer(first.entry.epoch, entries.map(waiting))) this.catchUp();
    else this.drain();
  }

  look(): void {
    if (!this.connected) return;
    this.catchUp();
    this.confirm();
  }

  /** The client has noticed; until then it took what was published, and lost it. */
  brokerLost(): void {
    this.connected = false;
  }

  /** Only this makes it read again what may be lost. */
  reconnected(): void {
    this.connected = true;
    this.steadySince = this.plane.around.time.now;
    this.cursor.rewind();
    if (this.plane.database.up) this.catchUp();
    for (const mark of this.unanswered.splice(0)) this.cursor.confirm(mark);
  }

  databaseIsBack(): void {
    this.steadySince = this.plane.around.time.now;
  }

  /** What it should have published by now, and nobody has. */
  overdue(): SignedEntry | undefined {
    const { database, around, rung } = this.plane;
    const { now } = around.time;
    if (!this.connected || !around.network.brokerUp || now < this.steadySince + OVERDUE_MS)
      return undefined;
    return database
      .after(this.owes)
      .find(({ entry, jws }) => entry.at < database.now - OVERDUE_MS && !rung.has(jws ?? ''));
  }

  private catchUp(): void {
    const entries = this.plane.database.after(this.cursor.tail);
    const [first] = entries;
    if (first !== undefined) this.cursor.offer(first.entry.epoch, entries.map(waiting));
    this.drain();
  }

  private drain(): void {
    if (this.draining || this.ended) return;
    const batch = this.cursor.take(MOST_AT_ONCE);
    if (batch === null) return;
    this.draining = true;
    const { time, random } = this.plane.around;
    // Until it is signed.
    time.after(random.between(0, 1), () => {
      this.draining = false;
      if (this.ended) return;
      if (this.cursor.mayPublish(batch)) {
        if (!this.connected) return this.cursor.rewind();
        for (const { signed } of batch.entries) this.publish(signed);
        this.cursor.handedOver(batch);
      }
      this.drain();
    });
  }

  private publish(signed: SignedEntry): void {
    if (this.plane.around.network.brokerUp) this.plane.rung.add(signed.jws ?? '');
    this.send(signed);
  }

  /** Asks the broker whether it has everything; an answer may come as late as after the next connection. */
  private confirm(): void {
    const { time, random, network } = this.plane.around;
    const mark = this.cursor.mark();
    const { outages } = network;
    time.after(random.between(0.1, 2), () => {
      if (this.ended) return;
      if (!network.brokerUp || network.outages !== outages) this.unanswered.push(mark);
      // On its way back it survives the broker.
      else time.after(network.delay('stream'), () => this.cursor.confirm(mark));
    });
  }
}

function waiting(signed: SignedEntry): Waiting {
  return { seq: signed.entry.seq, signed };
}
