import { Violation } from './judge';
import type { Kind } from './network';
import * as mistakes from './logic-mutations';
import * as machines from './machine-mutations';
import { follow, type Step } from './plan';
import { withLogic, withMachine, withoutRule, type Variation } from './rules';
import type { Simulation } from './simulation';

/** One history by hand, for a rule that random ones miss too often: it holds with the rule, and shows that it is missing. */
export interface Scenario {
  readonly mutation: Variation;
  readonly run: (world: Simulation) => void;
}

const cut = (ep: number, forMs: number, afterMs = 0): Step => ({
  ...{ do: 'cut', ep, way: 'both', seen: false, forMs, afterMs },
});
const kill = (agent: string, afterMs: number): Step => ({
  do: 'kill',
  agent,
  dies: false,
  afterMs,
});

/** The newer of two processes at one enforcement point hears nothing more. */
function deafen(world: Simulation): void {
  const second = world.point(0).processes.at(-1);
  if (second !== undefined) second.deaf = true;
}

/** A call of the root agent that runs at a best-effort enforcement point. */
function callOfRoot(world: Simulation): void {
  world.point(2).processes[0]?.call(world.plane.population.newest('root'));
}

/** Whoever lets it drain must let it run. */
function stillRuns(world: Simulation): void {
  const [process] = world.point(2).processes;
  if (process?.flowing().length !== 1)
    throw new Violation('drain', `at ${Math.round(world.time.now)} ms a call was cut`);
}

/** Two kills and reinstatements later no order of the first one's id stands at the agent. */
function comesBack(world: Simulation, agent: string): void {
  world.plane.reinstate(agent);
  world.pass(500);
  follow(world, [kill(agent, 500)]);
  world.plane.reinstate(agent);
  world.pass(500);
}

const lostOnTheStream = new Set<Kind>(['stream', 'range', 'pulse']);

export const SCENARIOS: readonly Scenario[] = [
  {
    mutation: withMachine(
      'emergencies are forgotten at a restart',
      machines.ForgetsEmergenciesAtRestart,
    ),
    run(world) {
      const halt = world.plane.halt('root', world.point(2));
      world.point(2).restart(200);
      world.pass(5_000);
      world.plane.commitHalt(halt);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: withMachine('a restart forgets which ids are over', machines.ForgetsWhatIsOver),
    run(world) {
      const halt = world.plane.halt('root', world.point(2));
      world.plane.commitHalt(halt);
      world.pass(500);
      comesBack(world, 'root');
      world.point(2).restart(200);
      world.pass(5_000);
      world.plane.bring(halt, world.point(2));
      world.everyPointAgrees();
    },
  },
  {
    mutation: withMachine('what drains is cut', machines.CutsWhatDrains),
    run(world) {
      callOfRoot(world);
      world.plane.drain('root');
      world.pass(2_000);
      stillRuns(world);
    },
  },
  {
    mutation: withMachine('a later kill lets drain too', machines.DrainsDespiteLaterKills),
    run(world) {
      callOfRoot(world);
      world.plane.drain('root');
      world.pass(1_000);
      stillRuns(world);
      follow(world, [kill('root', 2_000)]);
    },
  },
  {
    mutation: withMachine('what only a snapshot tells drains', machines.SnapshotFloorsDrain),
    run(world) {
      callOfRoot(world);
      world.point(2).link.without = lostOnTheStream;
      follow(world, [kill('root', 100)]);
      for (const process of world.point(2).processes) process.disconnect();
      world.pass(3_000);
    },
  },
  {
    mutation: withMachine('a snapshot cuts what drains', machines.SnapshotsCutWhatDrains),
    run(world) {
      callOfRoot(world);
      world.plane.drain('root');
      world.pass(500);
      for (const process of world.point(2).processes) process.disconnect();
      world.pass(3_000);
      stillRuns(world);
    },
  },
  {
    mutation: withMachine('it accepts an older snapshot', machines.AcceptsOlderSnapshot),
    run(world) {
      world.network.lag = { kinds: new Set(['snapshot' as const]), ms: 300 };
      for (const process of world.point(0).processes) process.disconnect();
      // The snapshot is read before the kill, and comes after the kill's entry.
      world.pass(400);
      follow(world, [kill('root', 2_000)]);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: withMachine('a replayed emergency reopens', machines.ReopensEmergencies),
    run(world) {
      world.network.weather = { drop: 0, duplicate: 0, slow: 0, slowMs: 0, replay: 1 };
      follow(world, [
        { do: 'database_down', forMs: 800, refuse: false, afterMs: 100 },
        { do: 'emergency', agent: 'root', afterMs: 1_500 },
        { do: 'reinstate', agent: 'root', afterMs: 15_000 },
      ]);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: withMachine('the head in a pulse is ignored', machines.IgnoresPulseHead),
    run(world) {
      follow(world, [
        { do: 'policy', validMs: 30_000, afterMs: 9_000 },
        { do: 'lose', ep: 0, kinds: ['stream'], forMs: 700, afterMs: 0 },
        kill('root', 2_200),
      ]);
      world.everyPointAgrees();
    },
  },
  {
    mutation: withMachine('replayed pulses count', machines.TakesReplayedPulses),
    run(world) {
      const pulse = (n: number, window: number): void =>
        world.point(0).hear(
          {
            type: 'pulse',
            pulse: {
              ...{ type: 'pulse', v: 1, tenant: 'ten_1', epoch: 1, head: 0, source: 'crowded' },
              ...{ n, now: world.plane.database.now, receipt_window_ms: window },
            },
          },
          false,
        );
      // None of the replicas' own comes between.
      world.point(0).link.without = new Set<Kind>(['pulse']);
      world.pass(10);
      pulse(1, 60_000);
      pulse(2, 0);
      pulse(1, 60_000);
      world.plane.kill('root');
      world.pass(300);
      world.newestOrderIsContained();
    },
  },
  {
    mutation: withMachine(
      'a lease runs from the receipt of its reply',
      machines.LeaseFromReceiptTime,
    ),
    run(world) {
      world.plane.setPolicy(2_000);
      world.pass(4_000);
      const [process] = world.point(0).processes;
      const asked = process?.leasesAsked.size;
      for (let ms = 0; ms < 2_000 && process?.leasesAsked.size === asked; ms += 1) world.pass(1);
      // Its reply comes while the process is stopped, and before anything about the kill.
      world.point(0).link.without = new Set<Kind>(['stream', 'pulse', 'range', 'snapshot']);
      world.point(0).freeze(14_000);
      world.pass(50);
      follow(world, [kill('root', 15_000)]);
    },
  },
  {
    mutation: withMachine(
      'floors that have come and gone are not missed',
      machines.TrustsOldFloors,
    ),
    run(world) {
      world.point(2).processes[0]?.call(world.plane.population.newest('leaf'));
      world.lookEveryMs = 5_000;
      const others = Array.from({ length: 10 }, () => kill('alone', 10));
      const away = 17 * 60_000;
      follow(world, [cut(2, away), kill('root', 10), ...others, kill('alone', away + 3_000)]);
    },
  },
  {
    mutation: withoutRule('the bound is that of the present policy', 'boundCoversEarlierPolicies'),
    run(world) {
      follow(world, [
        { do: 'policy', validMs: 30_000, afterMs: 9_000 },
        cut(0, 60_000),
        { do: 'policy', validMs: 2_000, afterMs: 100 },
        kill('root', 40_000),
      ]);
    },
  },
  {
    mutation: withLogic('leases from before a restore are forgotten', {
      leftUntilSettled: () => 0,
    }),
    run(world) {
      world.plane.setPolicy(30_000);
      const backup = world.plane.database.backup();
      world.point(0).overlap(60_000);
      world.pass(9_000);
      world.plane.restore(backup);
      deafen(world);
      world.pass(3_000);
      follow(world, [kill('root', 40_000)]);
    },
  },
  {
    mutation: withLogic('best_effort becomes dark', {
      orderStanding: mistakes.bestEffortBecomesDark,
    }),
    run(world) {
      follow(world, [cut(2, 60_000), kill('root', 15_000)]);
    },
  },
  {
    mutation: withoutRule('a receipt counts for any boot', 'receiptCountsForItsBoot'),
    run(world) {
      // The second process hears nothing; the first, from another directory, answers.
      world.point(0).overlap(30_000);
      world.pass(2_000);
      deafen(world);
      follow(world, [kill('root', 1_000)]);
    },
  },
  {
    mutation: withMachine('a divergence never ends', machines.DarkForGood),
    run(world) {
      const backup = world.plane.database.backup();
      follow(world, [kill('root', 1_000)]);
      world.plane.restore(backup, false);
      world.pass(10_000);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: withMachine('a lift outlives its epoch', machines.KeepsLostLifts),
    run(world) {
      follow(world, [{ do: 'suspend', agent: 'root', dies: false, afterMs: 500 }]);
      const backup = world.plane.database.backup();
      follow(world, [{ do: 'lift', dies: false, afterMs: 500 }]);
      for (const { link } of world.points) link.without = new Set<Kind>(['evidence']);
      world.plane.restore(backup);
      world.pass(12_000);
      world.everyPointAgrees();
      world.convergesAfterCalm();
    },
  },
];
