import { allRequests, MAX_MESSAGE_BYTES, RangeRequest, type RangeReply } from '@sever/protocol';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { parseMessage, requestFrom } from './ep-request';
import { type SignedEntries } from './signed-entries';
import { type StreamStore } from './stream.store';
import { type Turn } from './turn';

const MAX_REQUEST_BYTES = 1_024;
const MAX_ENTRIES = 1_000;
/** Room for the reply's own members and the quotes around each entry. */
const OVERHEAD_BYTES = 256;

/** Answers who missed entries. The entries are the same signed ones that were published. */
export class Ranges {
  private subscription: { unsubscribe(): void } | undefined;

  constructor(
    private readonly broker: Broker,
    private readonly store: StreamStore,
    private readonly signed: SignedEntries,
    private readonly turn: Turn,
  ) {}

  onApplicationBootstrap(): void {
    this.subscription = this.broker.subscribe(allRequests('range'), (message) =>
      this.answer(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    const asked = parseMessage(RangeRequest, message.data, MAX_REQUEST_BYTES);
    if (from === null || asked === null || !this.turn.isMine(from.reply)) return;
    const found = await this.store.range(from.tenant, asked, MAX_ENTRIES);
    const signed = await this.signed.of(from.tenant, asked.epoch, found.entries);
    const reply: RangeReply = {
      type: 'range',
      v: 1,
      epoch: asked.epoch,
      entries: asManyAsFit(signed),
      compacted: found.compacted,
    };
    this.broker.publish(from.reply, JSON.stringify(reply));
  }
}

function asManyAsFit(signed: readonly string[]): string[] {
  let left = MAX_MESSAGE_BYTES - OVERHEAD_BYTES;
  const end = signed.findIndex((entry) => (left -= entry.length + 3) < 0);
  return end === -1 ? [...signed] : signed.slice(0, Math.max(1, end));
}
