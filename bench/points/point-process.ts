import { atMost } from '../measure/in-turns';
import { answer } from '../stage/processes';
import type { BrokerAccess } from '../stage/stage';
import { BareSubscribers } from './bare-subscribers';
import { WatchedPoint, type PointAddress, type Seen } from './watched-point';

// A process with some enforcement points in it, and beside them as many bare subscribers for the floors.
const CONNECTING_AT_ONCE = 4;

const points: WatchedPoint[] = [];
let watching: Promise<Seen[]> = Promise.resolve([]);
let bare: BareSubscribers | undefined;

answer(
  {
    connect: async ({ addresses }: { addresses: PointAddress[] }) =>
      atMost(CONNECTING_AT_ONCE, addresses, async (address) => {
        points.push(await WatchedPoint.connect(address));
      }),
    watch: async ({ token }: { token: string }) => {
      const watches = await Promise.all(points.map((point) => point.watch(token)));
      watching = Promise.all(watches.map(({ seen }) => seen));
      // Asked for later; until then nobody hears of a failure.
      watching.catch(() => undefined);
    },
    seen: () => watching,
    receipts: async ({ on }: { on: boolean }) => {
      for (const { inside } of points) inside.receipts = on;
    },
    states: async () => points.map(({ point }) => point.state()),
    dropped: async () => points.map(({ point }) => point.droppedMessages()),
    decisions: async ({ tokens }: { tokens: string[] }) =>
      Promise.all(
        points.map(({ point }) =>
          Promise.all(tokens.map(async (token) => (await point.check(token)).decision)),
        ),
      ),
    subscribe: async (input: { broker: BrokerAccess; count: number; publicKey: string }) => {
      bare = await BareSubscribers.connect(input.broker, input.count, input.publicKey);
    },
    last: async ({ number }: { number: number }) => bare?.last(number),
  },
  async () => {
    await Promise.all([bare?.close(), ...points.map(({ point }) => point.close())]);
  },
);
