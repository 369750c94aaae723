import { createServer, type AddressInfo } from 'node:net';
import { newId } from '@sever/protocol';
import { pino } from 'pino';
import { Failpoints } from '../../../src/config/failpoints';
import { KillPool } from '../../../src/database/kill-pool';
import { CommitOrders } from '../../../src/revocation/commit-orders';
import type { Order } from '../../../src/revocation/order';
import { Replica } from '../../../src/stream/replica';

/** A port on which nobody listens any more. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const order = (): Order => ({
  id: newId('kill'),
  action: 'kill',
  subjects: [{ kind: 'agent', id: newId('agent') }],
  only: false,
  reason: 'x',
  ticket: null,
  actor: { id: 'x', name: 'x', kind: 'operator' },
  caller: { kind: 'operator' },
  idempotency: null,
  audit_id: newId('audit'),
});

describe('orders while the database is away', () => {
  it('are all refused after the attempts of one, and do not queue up behind each other', async () => {
    const log = pino({ level: 'silent' });
    const pool = new KillPool(`postgres://x:x@127.0.0.1:${await closedPort()}/x`, 2, log);
    const orders = new CommitOrders(pool, new Replica(), new Failpoints(''));
    const startedAt = performance.now();
    // The first leaves at once; the others wait for it and go together.
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => orders.submit('ten_x', order())),
    );
    const took = performance.now() - startedAt;
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
    // Two rounds of attempts take some 3 s; one for each order would take 30.
    expect(took).toBeLessThan(12_000);
    await pool.close();
  }, 60_000);
});
