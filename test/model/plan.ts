import fc from 'fast-check';
import { Violation } from './judge';
import type { Kind } from './network';
import { TARGETS } from './population';
import type { Variation } from './rules';
import { Simulation } from './simulation';

/** One order or fault, and how long the world goes on before the next. */
export type Step = { readonly afterMs: number } & (
  | {
      readonly do: 'kill' | 'suspend' | 'quarantine';
      readonly agent: string;
      readonly dies: boolean;
    }
  | { readonly do: 'lift'; readonly dies: boolean }
  | { readonly do: 'reinstate' | 'emergency'; readonly agent: string }
  | { readonly do: 'kill_key' | 'announce_key'; readonly dies: boolean }
  | { readonly do: 'kill_point'; readonly ep: number; readonly dies: boolean }
  | { readonly do: 'reinstate_point' }
  | { readonly do: 'call'; readonly ep: number; readonly agent: string }
  | {
      readonly do: 'cut';
      readonly ep: number;
      readonly way: 'to' | 'from' | 'both';
      readonly seen: boolean;
      readonly forMs: number;
    }
  | { readonly do: 'lose_http'; readonly ep: number; readonly forMs: number }
  | {
      readonly do: 'lose';
      readonly ep: number;
      readonly kinds: readonly Kind[];
      readonly forMs: number;
    }
  | {
      readonly do: 'restart' | 'leave' | 'overlap' | 'freeze' | 'suspend_host';
      readonly ep: number;
      readonly forMs: number;
    }
  | { readonly do: 'set_clock'; readonly ep: number; readonly byMs: number }
  | { readonly do: 'crash'; readonly replica: number; readonly forMs: number }
  | { readonly do: 'broker_down'; readonly forMs: number }
  | { readonly do: 'database_down'; readonly forMs: number; readonly refuse: boolean }
  | {
      readonly do: 'lag';
      readonly kinds: readonly Kind[];
      readonly lagMs: number;
    }
  | { readonly do: 'backup' }
  | { readonly do: 'restore' }
  | { readonly do: 'policy'; readonly validMs: number }
  | {
      readonly do: 'weather';
      readonly drop: number;
      readonly duplicate: number;
      readonly slow: number;
      readonly slowMs: number;
      readonly replay: number;
    }
);

export interface Plan {
  readonly seed: number;
  readonly steps: readonly Step[];
  /** Bad weather from the start. */
  readonly stormy: boolean;
}

const STORM = { drop: 0.2, duplicate: 0.2, slow: 0.3, slowMs: 1_800, replay: 0.15 };

const afterMs = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 1, max: 400 }),
  fc.integer({ min: 400, max: 6_000 }),
);
const forMs = fc.oneof(
  fc.integer({ min: 50, max: 2_500 }),
  fc.integer({ min: 2_500, max: 20_000 }),
);
const agent = fc.constantFrom(...TARGETS);
const ep = fc.nat(2);
const dies = fc.integer({ min: 0, max: 4 }).map((n) => n === 0);
const losable: readonly Kind[] = [
  'stream',
  'pulse',
  'emergency',
  'snapshot',
  'range',
  'lease',
  'receipt',
  'evidence',
];
const share = fc.integer({ min: 0, max: 60 }).map((n) => n / 100);

function step<T extends object>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }, weight: number) {
  return { weight, arbitrary: fc.record({ afterMs, ...shape }) as unknown as fc.Arbitrary<Step> };
}

const steps = fc.oneof(
  step({ do: fc.constant('kill'), agent, dies }, 12),
  step({ do: fc.constantFrom('suspend', 'suspend', 'suspend', 'quarantine'), agent, dies }, 4),
  step({ do: fc.constant('lift'), dies }, 3),
  step({ do: fc.constant('reinstate'), agent }, 3),
  step({ do: fc.constant('emergency'), agent }, 2),
  step({ do: fc.constant('lose_http'), ep, forMs }, 1),
  step({ do: fc.constantFrom('kill_key', 'announce_key'), dies }, 2),
  step({ do: fc.constant('kill_point'), ep, dies }, 1),
  step({ do: fc.constant('reinstate_point') }, 1),
  step({ do: fc.constant('call'), ep, agent }, 4),
  step(
    {
      do: fc.constant('cut'),
      ep,
      way: fc.constantFrom('to', 'from', 'both'),
      seen: fc.boolean(),
      forMs,
    },
    3,
  ),
  step(
    { do: fc.constant('lose'), ep, kinds: fc.subarray([...losable], { minLength: 1 }), forMs },
    4,
  ),
  step(
    { do: fc.constantFrom('restart', 'leave', 'overlap', 'freeze', 'suspend_host'), ep, forMs },
    6,
  ),
  step({ do: fc.constant('set_clock'), ep, byMs: fc.integer({ min: -20_000, max: 20_000 }) }, 1),
  step({ do: fc.constant('crash'), replica: fc.nat(1), forMs }, 2),
  step(
    {
      do: fc.constant('lag'),
      kinds: fc.subarray([...losable], { minLength: 1, maxLength: 2 }),
      lagMs: fc.integer({ min: 50, max: 950 }),
    },
    3,
  ),
  step({ do: fc.constant('broker_down'), forMs }, 1),
  step({ do: fc.constant('database_down'), forMs, refuse: fc.boolean() }, 2),
  step({ do: fc.constant('backup') }, 1),
  step({ do: fc.constant('restore') }, 1),
  step({ do: fc.constant('policy'), validMs: fc.constantFrom(2_000, 10_000, 30_000) }, 1),
  step(
    {
      do: fc.constant('weather'),
      drop: share,
      duplicate: share,
      slow: share,
      slowMs: forMs,
      replay: share,
    },
    3,
  ),
);

/** Unbiased: short histories show little, and a failing one is made short afterwards anyway. */
export const plans: fc.Arbitrary<Plan> = fc.noBias(
  fc.record({
    seed: fc.integer(),
    steps: fc.array(steps, { minLength: 4, maxLength: 30, size: 'max' }),
    stormy: fc.boolean(),
  }),
);

/** Plays a plan to its end. @returns the first violation, or `null` */
export function play(plan: Plan, variation: Variation): Violation | null {
  return violationIn(new Simulation(plan.seed, variation), (world) => {
    world.start();
    world.pass(500);
    if (plan.stormy) world.network.weather = STORM;
    follow(world, plan.steps);
    world.convergesAfterCalm();
  });
}

/** Does these steps, each with the time after it. */
export function follow(world: Simulation, wanted: readonly Step[]): void {
  const state = { backup: world.plane.database.backup() };
  for (const one of wanted) {
    perform(world, one, state);
    world.judge.lookAtAll();
    world.pass(one.afterMs);
  }
}

/** @returns what the run shows to be false, or `null` */
export function violationIn(world: Simulation, run: (world: Simulation) => void): Violation | null {
  try {
    run(world);
    return null;
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
}

function perform(world: Simulation, step: Step, state: { backup: unknown }): void {
  const { plane, time, network } = world;
  switch (step.do) {
    case 'kill':
      plane.revive(step.agent);
      return plane.kill(step.agent, step.dies);
    case 'suspend':
    case 'quarantine':
      plane.revive(step.agent);
      return plane.suspend(step.agent, step.do, step.dies);
    case 'lift':
      return plane.lift(step.dies);
    case 'reinstate':
      return plane.reinstate(step.agent);
    case 'emergency':
      return plane.emergency(step.agent);
    case 'kill_key':
      return plane.killKey(step.dies);
    case 'announce_key':
      return plane.announceKey(step.dies);
    case 'kill_point':
      return plane.killPoint(world.point(step.ep).id, step.dies);
    case 'reinstate_point':
      return plane.reinstatePoint();
    case 'call': {
      plane.revive(step.agent);
      const credential = plane.population.newest(step.agent);
      for (const process of world.point(step.ep).processes) process.call(credential);
      return;
    }
    case 'lose_http': {
      const { http } = world.point(step.ep);
      http.deaf = http.mute = true;
      return time.after(step.forMs, () => http.heal());
    }
    case 'cut':
    case 'lose':
      return spoil(world, step);
    case 'restart':
      return world.point(step.ep).restart(Math.min(step.forMs, 4_000));
    case 'leave':
      return world.point(step.ep).leave(Math.min(step.forMs, 4_000));
    case 'overlap':
      return world.point(step.ep).overlap(step.forMs);
    case 'freeze':
      return world.point(step.ep).freeze(step.forMs);
    case 'suspend_host':
      return world.point(step.ep).suspendHost(step.forMs);
    case 'set_clock':
      return world.point(step.ep).setWallClock(step.byMs);
    case 'crash': {
      const replica = plane.replicas[step.replica];
      replica?.crash();
      return time.after(
        Math.min(step.forMs, 5_000),
        () => replica?.alive === false && replica.start(),
      );
    }
    case 'broker_down':
      return world.breakBroker(step.forMs);
    case 'database_down':
      return world.breakDatabase(step.forMs, step.refuse);
    case 'backup':
      state.backup = plane.database.backup();
      return;
    case 'restore':
      if (plane.database.up) plane.restore(state.backup);
      state.backup = plane.database.backup();
      return;
    case 'policy':
      return plane.setPolicy(step.validMs);
    case 'lag':
      network.lag = { kinds: new Set(step.kinds), ms: step.lagMs };
      return;
    case 'weather':
      network.weather = step;
  }
}

function spoil(world: Simulation, step: Extract<Step, { do: 'cut' | 'lose' }>): void {
  const point = world.point(step.ep);
  const { link, http } = point;
  if (step.do === 'lose') link.without = new Set(step.kinds);
  else {
    link.deaf = step.way !== 'from';
    link.mute = step.way !== 'to';
    http.deaf = http.mute = step.way === 'both';
    if (step.seen)
      world.time.after(2_500, () => {
        for (const process of point.processes) if (link.deaf || link.mute) process.disconnect();
      });
  }
  world.time.after(step.forMs, () => {
    link.heal();
    if (step.do === 'cut') http.heal();
  });
}
