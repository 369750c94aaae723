import { median, summarize } from '../measure/statistics';
import type { Figure, Goal, Result } from '../report/result';
import type { MeasuredKill } from './measure-kill';

/** As the pulse announces it: none up to five boots, 0.2 ms for each of more. */
const WINDOW_FROM = 5;
const WINDOW_MS_PER_BOOT = 0.2;

/** What was measured in turns; milliseconds. */
export interface Series {
  readonly first: MeasuredKill;
  readonly messageBytes: number;
  readonly floors: Readonly<Record<'http' | 'commit' | 'bare' | 'signed' | 'everything', number[]>>;
  readonly proven: MeasuredKill[];
  readonly atOnce: MeasuredKill[];
  /** Without receipts. */
  readonly silent: MeasuredKill[];
}

export function reportKills(
  { size, rounds, postgres }: { size: number; rounds: number; postgres: string },
  series: Series,
): Result {
  const { floors, proven, atOnce, silent, first, messageBytes } = series;
  const kills = [...proven, ...atOnce, ...silent];
  return {
    benchmark: 'kill-to-deny',
    title: `HTTP call → last of ${size} enforcement points refuses`,
    parameters: { points: size, rounds, message_bytes: messageBytes, postgres },
    figures: [
      floor('HTTP round trip to a bare handler', floors.http),
      floor('one durable commit', floors.commit),
      floor(`fan-out to ${size} bare subscribers`, floors.bare),
      floor('the same, each verifies one Ed25519 signature', floors.signed),
      floor('a bare handler doing all three', floors.everything),
      measured('kill → last refusal', proven, 'lastRefused'),
      measured('kill → last refusal, reply not waiting', atOnce, 'lastRefused'),
      measured('kill → last refusal, without receipts', silent, 'lastRefused'),
      measured('kill → first refusal', proven, 'firstRefused'),
      measured('at: the database is asked', proven, 'asked'),
      measured('at: COMMIT, as seen by a listening connection', proven, 'committed'),
      measured('at: published, as seen by a bare subscriber', proven, 'published'),
      measured('at: delivered to the last enforcement point', proven, 'lastDelivered'),
      measured('longest from delivery to refusal in one', proven, 'slowestPoint'),
      timed(
        'at: last receipt arrived',
        proven.map(({ lastReceipt }) => lastReceipt ?? NaN),
      ),
      measured('at: answered, contained', proven, 'answered'),
      measured('at: answered with wait=0', atOnce, 'answered'),
      timed('first kill after the start → last refusal', [first.lastRefused]),
    ],
    goals: goals(size, series),
    notes: [
      'All moments are on the one monotonic clock of the machine, counted from the HTTP request.',
      'Control plane, enforcement points, Postgres, nats-server and this program share the cores.',
    ],
    evidence: {
      kills: kills.length,
      refusals: kills.reduce((sum, kill) => sum + kill.refusals, 0),
      expected_refusals: kills.length * size,
      contained: proven.filter(({ state }) => state === 'contained').length,
      expected_contained: proven.length,
    },
  };
}

function goals(size: number, { floors, proven, atOnce, silent }: Series): Goal[] {
  const floorSum = median(floors.http) + median(floors.commit) + median(floors.signed);
  const last = median(proven.map(({ lastRefused }) => lastRefused));
  const without = median(silent.map(({ lastRefused }) => lastRefused));
  const receipts = median(proven.map(({ lastReceipt }) => lastReceipt ?? NaN));
  const window = size <= WINDOW_FROM ? 0 : Math.ceil(size * WINDOW_MS_PER_BOOT);
  return [
    atMost('G1', `last refusal ÷ its floors, ${size} points`, last / floorSum, 1.2),
    atMost(
      'G3',
      'last refusal with receipts ÷ without',
      median(atOnce.map(({ lastRefused }) => lastRefused)) / without,
      1.1,
    ),
    atMost(
      'G3',
      `(all receipts − window of ${window} ms) ÷ last refusal`,
      (receipts - window) / last,
      2,
    ),
  ];
}

function floor(what: string, values: number[]): Figure {
  return { what, role: 'floor', unit: 'ms', summary: summarize(values) };
}

function measured(
  what: string,
  kills: MeasuredKill[],
  of: { [K in keyof MeasuredKill]: MeasuredKill[K] extends number ? K : never }[keyof MeasuredKill],
): Figure {
  return timed(
    what,
    kills.map((kill) => kill[of]),
  );
}

function timed(what: string, values: number[]): Figure {
  return { what, role: 'measured', unit: 'ms', summary: summarize(values) };
}

function atMost(id: string, what: string, value: number, bound: number): Goal {
  return { id, what, value, bound, must: 'at most' };
}
