import { violationIn } from './plan';
import { SOUND, type Variation } from './rules';
import { SCENARIOS, type Scenario } from './scenarios';
import { Simulation } from './simulation';
import { CONTROL_PLANE_SCENARIOS } from './control-plane-scenarios';

const inTrouble = (variation: Variation, run: Scenario['run']) =>
  violationIn(new Simulation(1, variation), (world) => {
    world.start();
    world.pass(1_000);
    run(world);
  });

describe('a history by hand', () => {
  it.each(
    [...SCENARIOS, ...CONTROL_PLANE_SCENARIOS].map((one) => [one.mutation.name, one] as const),
  )('shows it when %s, and holds otherwise', (_, { mutation, run }) => {
    expect(inTrouble(SOUND, run)).toBeNull();
    expect(inTrouble(mutation, run)?.message).toMatch(
      /^(I\d+|emergency|drain|relay|no false denial|no false alarm): at /,
    );
  });
});
