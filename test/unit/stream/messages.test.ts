import { MAX_MESSAGE_BYTES } from '@sever/protocol';
import { parseMessage, requestFrom } from '../../../src/stream/ep-request';
import { receiptWindowMs } from '../../../src/stream/pulse';
import { packEntries } from '../../../src/stream/signed-entries';
import { z } from 'zod';

const data = (text: string): Uint8Array => Buffer.from(text);

test('entries are packed in order into messages of bounded size', () => {
  const entries = Array.from({ length: 1_000 }, (_, n) => `${n}`.padEnd(600, 'x'));
  const messages = packEntries(entries);

  expect(messages.join('\n').split('\n')).toEqual(entries);
  expect(messages.length).toBe(3);
  for (const message of messages) expect(message.length).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
  expect(packEntries([])).toEqual([]);
});

test('receipts come at once from a few, spread out from many, and never later than a second', () => {
  expect([1, 5, 6, 100, 1_000_000].map(receiptWindowMs)).toEqual([0, 0, 2, 20, 1_000]);
});

test.each([
  ['nowhere', undefined],
  ['the stream', 'sever.v1.stream.t1'],
  ['a neighbour’s inbox', '_R.t1.ep2.x'],
  ['another tenant’s inbox', '_R.t2.ep1.x'],
  ['a wildcard', '_R.t1.ep1.>'],
  ['an inbox whose name only begins like its own', '_R.t1.ep1x.y'],
])('an answer to %s is given to nobody', (_, reply) => {
  expect(requestFrom({ subject: 'sever.v1.lease.t1.ep1', data: data(''), reply })).toBeNull();
});

test('an answer to the asker’s own inbox is given', () => {
  const reply = '_R.t1.ep1.abc.1';
  expect(requestFrom({ subject: 'sever.v1.lease.t1.ep1', data: data(''), reply })).toEqual({
    ...{ tenant: 't1', ep: 'ep1', reply },
  });
});

test.each(['', '{', 'null', '[]', '{"n":"1"}', '{"n":1e400}', '\u0000', 'x'.repeat(100)])(
  'a message of another shape is no message: %j',
  (text) => {
    expect(parseMessage(z.object({ n: z.number() }), data(text), 64)).toBeNull();
  },
);
