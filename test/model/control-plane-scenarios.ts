import { Violation } from './judge';
import { SERVER } from './logic';
import type { Kind } from './network';
import * as keys from './key-mutations';
import * as mistakes from './logic-mutations';
import { follow } from './plan';
import { SOUND, withLogic, withMachine, withoutRule } from './rules';
import type { Scenario } from './scenarios';
import type { Simulation } from './simulation';

const MINUTE = 60_000;

/** Nobody hears of it, and nobody can show what is lost: only their own chain tells enforcement points from others. */
function goesBackUnnoticed(world: Simulation, lost: number, without: readonly Kind[]): void {
  const backup = world.plane.database.backup();
  for (let n = 0; n < lost; n += 1) {
    world.plane.kill('alone');
    world.pass(500);
  }
  for (const { link, http } of world.points) {
    http.deaf = true;
    link.without = new Set<Kind>(['stream', 'pulse', 'range', 'snapshot', 'evidence', ...without]);
  }
  world.plane.restore(backup, false);
}

/** What only the control plane can see about enforcement points, by hand. */
export const CONTROL_PLANE_SCENARIOS: readonly Scenario[] = [
  {
    mutation: withLogic('a lease is given despite another digest', {
      judgeLease: mistakes.leaseDespiteDivergence,
    }),
    run(world) {
      goesBackUnnoticed(world, 1, []);
      world.plane.kill('root');
      world.pass(5_000);
    },
  },
  {
    mutation: withLogic('a receipt of another chain counts', {
      judgeReceipt: mistakes.receiptOfAnotherChain,
    }),
    run(world) {
      goesBackUnnoticed(world, 1, ['lease']);
      world.plane.kill('root');
      world.pass(5_000);
    },
  },
  {
    mutation: withLogic('a receipt over the head counts', {
      judgeReceipt: mistakes.receiptOverTheHead,
    }),
    run(world) {
      goesBackUnnoticed(world, 2, ['lease']);
      world.pass(4_000);
      world.plane.kill('root');
      world.pass(1_000);
    },
  },
  {
    mutation: withMachine(
      'what came before the first snapshot is not shown',
      keys.ForgetsWhatCameFirst,
    ),
    run(world) {
      // Its entry reaches nobody but a process that has only just started, and the database goes back meanwhile.
      const backup = world.plane.database.backup();
      for (const { link, http } of world.points) link.deaf = http.deaf = true;
      world.plane.kill('root');
      const [signed] = world.plane.database.after({ epoch: 1, seq: 0 });
      world.plane.restore(backup);
      world.point(2).restart(10);
      world.pass(20);
      if (signed !== undefined) world.point(2).hear({ type: 'entry', ...signed }, false);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: { ...SOUND, name: 'there is no second road', secondRoad: false },
    run(world) {
      world.point(0).link.deaf = true;
      world.breakBroker(60_000);
      world.pass(15_000);
      const [process] = world.point(1).processes;
      if (process?.machine.standing(world.point(1).at) !== 'fresh')
        throw new Violation('I9', `at ${world.time.now} ms it is not fresh without the broker`);
      world.plane.kill('root');
      world.pass(1_000);
      if (process.machine.chain.applied !== world.plane.database.head.seq)
        throw new Violation('I9', `at ${world.time.now} ms it has not heard of the kill`);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: { ...SOUND, name: 'it leaves, and goes on', refusesBeforeLeaving: false },
    run(world) {
      world.point(0).link.deaf = true;
      world.point(0).leave(200);
      world.pass(100);
      world.plane.kill('root');
      world.pass(500);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: withLogic('a killed enforcement point is not named', { revokedAndLiving: () => [] }),
    run(world) {
      // It hears neither of its own end nor of the next order, and admits until its lease runs out.
      world.point(0).link.deaf = true;
      world.plane.killPoint('enf_1');
      world.pass(100);
      world.plane.kill('root');
      world.pass(20_000);
      world.convergesAfterCalm();
    },
  },
  {
    mutation: {
      ...withoutRule('a boot gets snapshot and lease before it is stored', 'bootIsStoredFirst'),
      logic: { ...SERVER, judgeLease: mistakes.leaseForAnyBoot },
    },
    run(world) {
      // The second process admits, and hears nothing; the first, from another directory, answers for its enforcement point.
      world.pass(5_000);
      world.point(0).overlap(20_000);
      world.pass(150);
      const second = world.point(0).processes.at(-1);
      if (second !== undefined) second.deaf = true;
      world.plane.kill('root');
      world.pass(1_000);
    },
  },
  {
    mutation: withLogic('a relay believes what came after its question', {
      RelayCursor: mistakes.ConfirmsTooMuch,
    }),
    run(world) {
      // The broker's word is on its way back while the broker dies, and the next entry goes into the void.
      world.plane.replicas[1]?.crash();
      world.network.lag = { kinds: new Set<Kind>(['stream']), ms: 200 };
      for (let n = 0; n < 6; n += 1) {
        world.breakBroker(500);
        world.plane.kill('alone');
        world.pass(3_037);
      }
    },
  },
  {
    mutation: withLogic('a relay believes a connection that is lost', {
      RelayCursor: mistakes.ConfirmsAcrossLosses,
    }),
    run(world) {
      // Asked over a connection that is dead already, answered over the next; and nothing can be read until the one after.
      world.plane.replicas[1]?.crash();
      for (let n = 0; n < 6; n += 1) {
        world.breakBroker(600);
        world.plane.kill('alone');
        world.pass(350);
        world.breakDatabase(2_500, false);
        world.pass(400);
        world.breakBroker(500);
        world.pass(6_000);
      }
    },
  },
  {
    mutation: withLogic('a boot that is long silent gets its lease at once', {
      judgeLease: mistakes.leaseWithoutRenewal,
    }),
    run(world) {
      // Longer leases are asked for less often; when boots were last heard is not written down by anybody.
      world.lookEveryMs = 5_000;
      world.plane.losesNotes = true;
      world.plane.setPolicy(2 * MINUTE);
      world.plane.replicas[1]?.crash();
      world.pass(20 * MINUTE - 10_000);
      world.plane.reinstate('root');
      world.pass(10_000);
      follow(world, [
        { do: 'cut', ep: 0, way: 'both', seen: false, forMs: 2 * MINUTE, afterMs: MINUTE + 2_000 },
        { do: 'kill', agent: 'root', dies: false, afterMs: 10_000 },
      ]);
    },
  },
  {
    mutation: withoutRule(
      'a reinstated enforcement point stays off the roster',
      'reinstatedPointsReturn',
    ),
    run(world) {
      // Cut off all the while, it has heard of neither its kill nor its reinstatement, and goes on with what it knows.
      follow(world, [
        { do: 'cut', ep: 2, way: 'both', seen: false, forMs: MINUTE, afterMs: 1_000 },
        { do: 'kill_point', ep: 2, dies: false, afterMs: 500 },
        { do: 'reinstate_point', afterMs: 500 },
        { do: 'kill', agent: 'root', dies: false, afterMs: 500 },
      ]);
      world.pass(10_000);
    },
  },
];
