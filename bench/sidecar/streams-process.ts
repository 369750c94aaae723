import { Agent, get, type IncomingMessage } from 'node:http';
import { atMost } from '../measure/in-turns';
import { monotonicMs } from '../measure/monotonic';
import { answer } from '../stage/processes';

// The agents' side: many event streams, each told whose it is, how much it has heard and how it ended.
const OPENING_AT_ONCE = 64;

interface Stream {
  readonly agentId: string;
  events: number;
  endedAt: number | undefined;
  /** What came last. */
  last: string;
}

/** What has become of the streams of one agent. */
export interface StreamsSeen {
  readonly streams: number;
  readonly open: number;
  /** Ended with the refusal of a revoked agent as their last event. */
  readonly refused: number;
  /** The shared monotonic clock, milliseconds; `null` while none has ended. */
  readonly firstEndedAt: number | null;
  readonly lastEndedAt: number | null;
  /** Of the stream that has heard least. */
  readonly leastEvents: number;
  /** How some that have ended did. */
  readonly lastWords: readonly string[];
}

const streams: Stream[] = [];
const agent = new Agent({ keepAlive: false, maxSockets: Infinity });

function open(url: string, agentId: string, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
    const asking = get(url, { agent, headers }, (response) => {
      if (response.statusCode !== 200)
        return void reject(new Error(`a stream was answered with ${response.statusCode}`));
      follow(response, agentId);
      resolve();
    });
    asking.once('error', reject);
  });
}

function follow(response: IncomingMessage, agentId: string): void {
  const stream: Stream = { agentId, events: 0, endedAt: undefined, last: '' };
  streams.push(stream);
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    stream.events += text.split('\n\n').length - 1;
    stream.last = text;
  });
  const ended = (): void => void (stream.endedAt ??= monotonicMs());
  response.once('end', ended).once('close', ended).once('error', ended);
}

function seen(of: readonly Stream[]): StreamsSeen {
  const ends = of.flatMap(({ endedAt }) => endedAt ?? []);
  return {
    streams: of.length,
    open: of.length - ends.length,
    refused: of.filter(({ endedAt, last }) => endedAt !== undefined && /agent_revoked/.test(last))
      .length,
    firstEndedAt: ends.length === 0 ? null : Math.min(...ends),
    lastEndedAt: ends.length === 0 ? null : Math.max(...ends),
    leastEvents: Math.min(...of.map(({ events }) => events)),
    lastWords: [...new Set(of.flatMap(({ endedAt, last }) => (endedAt === undefined ? [] : last)))]
      .slice(0, 3)
      .map((last) => last.slice(-200)),
  };
}

answer(
  {
    /** Each agent opens `each` of them, in turns. */
    open: async (input: { url: string; agents: { id: string; token: string }[]; each: number }) => {
      const all = Array.from({ length: input.each }, () => input.agents).flat();
      await atMost(OPENING_AT_ONCE, all, ({ id, token }) => open(input.url, id, token));
    },
    of: async ({ agentId }: { agentId: string }) =>
      seen(streams.filter((stream) => stream.agentId === agentId)),
    /** Of all agents but these. */
    others: async ({ than }: { than: string[] }) => {
      const left = new Set(than);
      return seen(streams.filter(({ agentId }) => !left.has(agentId)));
    },
  },
  async () => agent.destroy(),
);
