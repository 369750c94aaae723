import { connectLive, type LiveSocket } from '@sever/cli';
import type { Agent, Kill, LiveReceipt } from '@sever/protocol';
import type { EnforcementPoint } from '@sever/enforcement';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';

interface Seen {
  socket: LiveSocket;
  agents: Agent[];
  kills: Kill[];
  receipts: LiveReceipt[];
  refusal: Error | undefined;
}

describe('the live gateway', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  const sockets: LiveSocket[] = [];

  const watch = (key: string): Seen => {
    const socket = connectLive({ url: plane.url, key });
    const seen: Seen = { socket, agents: [], kills: [], receipts: [], refusal: undefined };
    socket.on('agent', (agent) => seen.agents.push(agent));
    socket.on('kill', (kill) => seen.kills.push(kill));
    socket.on('receipt', (receipt) => seen.receipts.push(receipt));
    socket.on('connect_error', (error) => (seen.refusal = error));
    sockets.push(socket);
    return seen;
  };

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'edge');
  });
  afterAll(async () => {
    for (const socket of sockets) socket.disconnect();
    await point.close();
    await plane.close();
  });

  it('tells a watcher of births, of kills, and of each receipt until the kill is contained', async () => {
    const seen = watch(plane.key);
    await eventually(() => expect(seen.socket.connected).toBe(true));
    const { agent } = await plane.client.spawn({ name: 'watched', initiator: { subject: 'a' } });
    await eventually(() => expect(seen.agents.map(({ id }) => id)).toEqual([agent.id]));
    const kill = await plane.client.killAgent(agent.id, { reason: 'x' }, { waitMs: 10_000 });
    await eventually(() => {
      expect(seen.kills.at(-1)).toMatchObject({
        id: kill.id,
        state: 'contained',
        cascade: { state: 'done' },
      });
      expect(seen.receipts.at(-1)).toMatchObject({
        kill_id: kill.id,
        enforcement_point: { name: 'edge' },
        status: 'enforced',
      });
    });
  });

  it.each([
    ['nobody', () => Promise.resolve('sek_nobody'), 'unauthenticated'],
    [
      'a service',
      async () => (await plane.client.createApiKey({ role: 'service', name: 's' })).key,
      'forbidden',
    ],
    [
      'an agent',
      async () =>
        (await plane.client.spawn({ name: 'x', initiator: { subject: 'a' } })).credential.token,
      'forbidden',
    ],
  ])('lets %s not watch', async (_, keyOf, code) => {
    const seen = watch(await keyOf());
    await eventually(() => expect(seen.refusal).toMatchObject({ data: { code } }));
    await plane.client.spawn({ name: 'unseen', initiator: { subject: 'a' } });
    expect(seen.socket.connected).toBe(false);
    expect(seen.agents).toEqual([]);
    seen.socket.disconnect();
  });
});
