import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { broadcastSubject, inboxPrefix, MAX_MESSAGE_BYTES } from '@sever/protocol';
import type { Passing } from '../../proxy/nats-proxy';
import type { Harm } from '../../proxy/rule';
import type { Fault, Scene } from '../fault';
import type { Point, SidecarPoint } from '../points';

const EVERYTHING_TOLD = 'sever.v1.*.*';
const ANSWERS = '_R.>';
const SOME: readonly Harm[] = [
  { kind: 'duplicate', times: 3 },
  { kind: 'delay', fromMs: 5, toMs: 400 },
  { kind: 'reorder', count: 6, withinMs: 150 },
  { kind: 'drop' },
];
const POISON = [
  'not json',
  '{"type":"entry","v":1}',
  'a.b.c',
  `${'x'.repeat(200)}.${'y'.repeat(200)}.${'z'.repeat(86)}`,
  '\u0000\u00ff',
  '',
];
const FLOOD_MESSAGES = 6_000;
const FLOOD_BYTES = 4_096;
const BATCH = 200;

export const wireFaults: Fault[] = [
  {
    ...{ id: 'F30', lane: 'points', lasts: [2_000, 6_000] },
    what: 'messages come twice, late, in another order, or not at all',
    begin: async ({ world: { brokerRoad } }, random) => {
      const share = random.between(0.1, 0.5);
      const rules = [EVERYTHING_TOLD, ANSWERS].flatMap((subject) =>
        SOME.map((harm) => ({ subject, harm, share, direction: 'to_client' as const })),
      );
      const back = {
        direction: 'to_server',
        subject: EVERYTHING_TOLD.concat('.*'),
        share,
      } as const;
      const imposed = [
        ...rules,
        { ...back, harm: { kind: 'duplicate', times: 2 } as const },
        { ...back, harm: { kind: 'delay', fromMs: 5, toMs: 300 } as const },
      ].map((rule) => brokerRoad.impose(rule));
      return () => imposed.forEach((lift) => lift());
    },
  },
  {
    ...{ id: 'F31', lane: 'points', lasts: [1_500, 4_000] },
    what: 'everything that an enforcement point was told is told to it again, and to another one',
    begin: async ({ world: { brokerRoad, points } }, random) => {
      const [from, to] = [random.pick(points) as Point, random.pick(points) as Point];
      const record = brokerRoad.record('>', 'to_client');
      return () => {
        record.stop();
        const heard = record.messages.filter(({ client }) => client === from.id).slice(-300);
        brokerRoad.replay(from.id, heard);
        brokerRoad.replay(
          to.id,
          heard.map((message) => addressedTo(message, from, to)),
        );
      };
    },
  },
  {
    ...{ id: 'F32', lane: 'points', lasts: [1_000, 3_000] },
    what: 'poison under the control plane’s own credentials; messages cut short and changed',
    begin: async (scene, random) => {
      const { brokerRoad, tenant, points } = scene.world;
      const imposed = (['truncate', 'corrupt'] as const).flatMap((kind) =>
        [EVERYTHING_TOLD, ANSWERS].map((subject) =>
          brokerRoad.impose({ subject, direction: 'to_client', share: 0.3, harm: { kind } }),
        ),
      );
      await asControlPlane(scene, async (connection) => {
        for (const kind of ['stream', 'pulse', 'emergency'] as const)
          for (const text of POISON)
            connection.publish(broadcastSubject(kind, tenant), Buffer.from(text, 'latin1'));
        await connection.flush();
      });
      const point = random.pick(points) as Point;
      brokerRoad.replay(
        point.id,
        POISON.map((text) => ({
          subject: broadcastSubject('stream', tenant),
          payload: Buffer.from(`${text}\n${text}`),
        })),
      );
      return () => imposed.forEach((lift) => lift());
    },
  },
  {
    ...{ id: 'F29', lane: 'points', lasts: [2_500, 4_000] },
    what: 'a reader so slow that the broker cuts it off',
    begin: async (scene, random) => {
      const { brokerRoad, sidecars, sdks, tenant } = scene.world;
      const { child } = random.pick(sidecars) as SidecarPoint;
      // The others are spared: they are there to be compared with.
      const subject = broadcastSubject('emergency', tenant);
      const spare = sdks.map(({ id }) =>
        brokerRoad.impose({ subject, direction: 'to_client', client: id, harm: { kind: 'drop' } }),
      );
      child.signal('SIGSTOP');
      await asControlPlane(scene, async (connection) => {
        const flood = Buffer.alloc(FLOOD_BYTES, 'x');
        for (let at = 0; at < FLOOD_MESSAGES; at += 1) connection.publish(subject, flood);
        await connection.flush();
      });
      return () => {
        child.signal('SIGCONT');
        spare.forEach((lift) => lift());
      };
    },
  },
  {
    ...{ id: 'F33', lane: 'points', lasts: [500, 1_500] },
    what: `one order for ${BATCH} agents, in messages that a broker takes`,
    begin: async ({ world: { brokerRoad }, workload, population }, random) => {
      const stop = brokerRoad.observe(({ payload, direction }) => {
        if (direction === 'to_client' && payload.length > MAX_MESSAGE_BYTES)
          workload.faults.push(`F33: a message of ${payload.length} bytes`);
      });
      const from = Math.floor(random.next() * population.agents.length);
      const ids = new Set(population.agents.slice(from, from + BATCH).map(({ id }) => id));
      const subjects = [...ids].map((id) => ({ kind: 'agent', id }));
      if (subjects.length > 0) workload.killMeanwhile(subjects);
      return stop;
    },
  },
  {
    ...{ id: 'F45', lane: 'points', lasts: [500, 1_500] },
    what: 'a newer control plane appends an op that nobody here knows',
    begin: async ({ world: { database, tenant }, workload, deniedByThemselves }) => {
      const victim = await workload.spawnRoot();
      if (victim === null) return () => undefined;
      const subject = `agent:${victim.id}`;
      deniedByThemselves.add(subject);
      const op = JSON.stringify({ op: 'quarantine', subject, until: 'further notice' });
      await database
        .query(
          `SELECT sever_append($1, (SELECT epoch FROM stream_head WHERE tenant = $1),
             jsonb_build_array(jsonb_build_object('order_id', $2::text, 'op', $3::text, 'audit', $4::text)))`,
          [tenant, 'kil_of_a_newer_version', op, 'A'.repeat(43)],
        )
        // Postgres may be down at this moment; then there was no such entry.
        .catch(() => undefined);
      return () => undefined;
    },
  },
];

/** As if it had been meant for the other one: its inbox, where there is one. */
function addressedTo(message: Passing, from: Point, to: Point): Passing {
  const tenant = message.subject.split('.')[1] ?? '';
  if (!message.subject.startsWith('_R.')) return message;
  const [was, is] = [inboxPrefix(tenant, from.id), inboxPrefix(tenant, to.id)];
  return { ...message, subject: message.subject.replace(was, is) };
}

/** Whoever stole the control plane's broker credentials, and none of its signing keys. */
async function asControlPlane(
  { world: { broker } }: Scene,
  act: (connection: NatsConnection) => Promise<void>,
): Promise<void> {
  const authenticator = credsAuthenticator(readFileSync(broker.credsFile));
  const options = { servers: broker.url, authenticator, reconnect: false, timeout: 2_000 };
  try {
    const connection = await connect(options);
    await Promise.race([act(connection), new Promise((resolve) => setTimeout(resolve, 3_000))]);
    await Promise.race([connection.close(), new Promise((resolve) => setTimeout(resolve, 500))]);
  } catch {
    // The broker may be down or frozen at this moment; then nothing was said.
  }
}
