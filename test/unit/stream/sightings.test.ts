import { Replica } from '../../../src/stream/replica';
import { Sightings } from '../../../src/stream/sightings';

let now: number;
let sightings: Sightings;

beforeEach(() => {
  now = 1_000;
  sightings = new Sightings(new Replica({ monotonic: () => now, wall: () => 0 }));
});

const at = (seq: number, epoch = 1) => ({ epoch, seq });

test('a place is seen with the first head that is not before it', () => {
  sightings.see('t', at(5));
  now = 2_000;
  sightings.see('t', at(9));

  expect(sightings.seenAt('t', at(3))).toBe(1_000);
  expect(sightings.seenAt('t', at(5))).toBe(1_000);
  expect(sightings.seenAt('t', at(6))).toBe(2_000);
});

test('seeing it again does not make it younger, and another tenant’s place is its own', () => {
  sightings.see('t', at(5));
  now = 9_000;
  sightings.see('t', at(5));

  expect(sightings.seenAt('t', at(5))).toBe(1_000);
  expect(sightings.seenAt('other', at(5))).toBe(9_000);
});

test('what nobody has seen is seen now', () => {
  sightings.see('t', at(5));
  now = 4_000;

  expect(sightings.seenAt('t', at(6))).toBe(4_000);
  now = 8_000;
  expect(sightings.seenAt('t', at(6))).toBe(4_000);
});

test('a later epoch comes after every place of an earlier one', () => {
  sightings.see('t', at(500));
  now = 2_000;
  sightings.see('t', at(1, 2));

  expect(sightings.seenAt('t', at(1, 2))).toBe(2_000);
  expect(sightings.seenAt('t', at(500, 1))).toBe(1_000);
});

test('places close together share one time, and never an earlier one than their own', () => {
  for (let seq = 1; seq <= 1_000; seq += 1) {
    sightings.see('t', at(seq));
    now += 1;
  }

  for (let seq = 1; seq <= 1_000; seq += 1) {
    const own = 1_000 + seq - 1;
    expect(sightings.seenAt('t', at(seq))).toBeGreaterThanOrEqual(own);
    expect(sightings.seenAt('t', at(seq))).toBeLessThan(own + 50);
  }
});

test('what has passed every bound is forgotten, and still counts as long ago', () => {
  for (let seq = 1; seq <= 100; seq += 1) {
    sightings.see('t', at(seq));
    now += 60_000;
  }

  expect(sightings.seenAt('t', at(1))).toBeLessThan(now - 15 * 60_000);
  expect(sightings.seenAt('t', at(100))).toBe(now - 60_000);
});
