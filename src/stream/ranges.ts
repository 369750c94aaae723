import { allRequests, RangeRequest, type RangeReply } from '@sever/protocol';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { parseMessage, requestFrom } from './ep-request';
import { asManyAsFit, type SignedEntries } from './signed-entries';
import { type StreamStore } from './stream.store';
import { type Turn } from './turn';

const MAX_REQUEST_BYTES = 1_024;
const MAX_ENTRIES = 1_000;

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

  /** Whichever road the question came by. */
  async read(tenant: string, { epoch, from, to }: RangeRequest): Promise<RangeReply> {
    const found = await this.store.range(tenant, { epoch, from, to }, MAX_ENTRIES);
    const entries = asManyAsFit(await this.signed.of(tenant, epoch, found.entries));
    return { type: 'range', v: 1, epoch, entries, compacted: found.compacted };
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    const asked = parseMessage(RangeRequest, message.data, MAX_REQUEST_BYTES);
    if (from === null || asked === null || !this.turn.isMine(from.reply)) return;
    this.broker.publish(from.reply, JSON.stringify(await this.read(from.tenant, asked)));
  }
}
