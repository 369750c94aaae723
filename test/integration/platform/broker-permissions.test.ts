import { readFileSync } from 'node:fs';
import { createUser } from '@nats-io/nkeys';
import {
  connect,
  credsAuthenticator,
  jwtAuthenticator,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node';
import { broadcastSubject, epPermissions, inboxPrefix, requestSubject } from '@sever/protocol';
import { decode, type User } from '@nats-io/jwt';
import { encodeSeverAccount, mintUserJwt } from '../../../src/broker/operator';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { eventually } from '../../support/eventually';

const TENANT = 'ten_01';
const EP = 'enf_01';
const OTHER_EP = 'enf_02';
const OTHER_TENANT = 'ten_02';

describe('what the broker lets an enforcement point do', () => {
  let broker: TestBroker;
  let controlPlane: NatsConnection;
  /** For everything that is merely refused: a refusal leaves its connection as it was. */
  let ep: NatsConnection;
  const connections: NatsConnection[] = [];

  beforeAll(async () => {
    broker = await startTestBroker();
    controlPlane = await asControlPlane(broker.credsFile);
    ep = await enrolled();
  });
  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await broker.stop();
  });

  it('reads the broadcasts of its tenant and its own inbox, and sends its own requests', async () => {
    const heard: string[] = [];
    for (const subject of epPermissions(TENANT, EP).subscribe)
      collect(ep.subscribe(subject), heard);
    await ep.flush();
    const own = [
      broadcastSubject('stream', TENANT),
      broadcastSubject('pulse', TENANT),
      broadcastSubject('emergency', TENANT),
      `${inboxPrefix(TENANT, EP)}.1`,
    ];
    for (const subject of own) controlPlane.publish(subject);
    await eventually(() => expect(heard).toEqual(own));

    const received: string[] = [];
    collect(controlPlane.subscribe('sever.v1.*.*.*'), received);
    await controlPlane.flush();
    const requests = epPermissions(TENANT, EP).publish;
    for (const subject of requests) ep.publish(subject);
    await eventually(() => expect(received).toEqual(requests));
  });

  it.each([
    ['everything', '>'],
    ['all of Sever', 'sever.v1.>'],
    ['the default inboxes of others', '_INBOX.>'],
    ['every reply inbox', '_R.>'],
    ['the inbox of another in its tenant', `${inboxPrefix(TENANT, OTHER_EP)}.>`],
    ['the stream of another tenant', broadcastSubject('stream', OTHER_TENANT)],
    ['the streams of all tenants', 'sever.v1.stream.*'],
    ['its own requests', requestSubject('receipt', TENANT, EP)],
    ['the requests of another', requestSubject('receipt', TENANT, OTHER_EP)],
    ["the broker's own events", '$SYS.>'],
  ])('may not read %s (%s), alone or in a queue group', async (_, subject) => {
    await expect(refusalOf(ep.subscribe(subject))).resolves.toMatch(/permissions violation/i);
    await expect(refusalOf(ep.subscribe(subject, { queue: 'q' }))).resolves.toMatch(
      /permissions violation/i,
    );
  });

  it.each([
    ['to the stream', broadcastSubject('stream', TENANT)],
    ['as the pulse', broadcastSubject('pulse', TENANT)],
    ['an emergency', broadcastSubject('emergency', TENANT)],
    ['a receipt in the name of another', requestSubject('receipt', TENANT, OTHER_EP)],
    ['a receipt in another tenant', requestSubject('receipt', OTHER_TENANT, EP)],
    ['into the inbox of another', `${inboxPrefix(TENANT, OTHER_EP)}.1`],
    ['into its own inbox', `${inboxPrefix(TENANT, EP)}.1`],
    ['an account claim', '$SYS.REQ.CLAIMS.UPDATE'],
  ])('may not publish %s (%s)', async (_, subject) => {
    const received: string[] = [];
    if (!subject.startsWith('$SYS')) {
      collect(controlPlane.subscribe(subject), received);
      await controlPlane.flush();
    }
    const refused = nextError(ep);
    ep.publish(subject, 'forged');
    await expect(refused).resolves.toMatch(/permissions violation/i);
    // Whatever passed before this marker has arrived by the time the marker has.
    const marker = requestSubject('lease', TENANT, EP);
    const markers: string[] = [];
    collect(controlPlane.subscribe(marker), markers);
    await controlPlane.flush();
    ep.publish(marker);
    await eventually(() => expect(markers).toEqual([marker]));
    expect(received).toEqual([]);
  });

  it('gets no say where replies to it go: a reply subject gives no right to publish there', async () => {
    const stream = broadcastSubject('stream', TENANT);
    const received: string[] = [];
    collect(controlPlane.subscribe(stream), received);
    collectReplies(ep.subscribe(`${inboxPrefix(TENANT, EP)}.>`));
    await Promise.all([ep.flush(), controlPlane.flush()]);
    const refused = nextError(ep);
    controlPlane.publish(`${inboxPrefix(TENANT, EP)}.1`, 'hello', { reply: stream });
    await expect(refused).resolves.toMatch(/permissions violation/i);
    expect(received).toEqual([]);
  });

  it('holds no more subscriptions than it was given', async () => {
    const ep = await enrolled({ maxSubscriptions: 2 });
    const inbox = inboxPrefix(TENANT, EP);
    collect(ep.subscribe(`${inbox}.a`), []);
    collect(ep.subscribe(`${inbox}.b`), []);
    const tooMany = nextError(ep);
    collect(ep.subscribe(`${inbox}.c`), []);
    await expect(tooMany).resolves.toMatch(/maximum subscriptions exceeded/i);
  });

  it('may do nothing at all when it was given nothing, since an empty list is not no list', async () => {
    const ep = await enrolled({ publish: [], subscribe: [] });
    await expect(refusalOf(ep.subscribe('anything'))).resolves.toMatch(/permissions violation/i);
    const refused = nextError(ep);
    ep.publish('anything');
    await expect(refused).resolves.toMatch(/permissions violation/i);
  });

  it('is not let in after its JWT expired, without a JWT, or with a JWT of another account', async () => {
    await expect(enrolled({ expiresAt: new Date(Date.now() - 1_000) })).rejects.toThrow();
    await expect(connect({ servers: broker.url, reconnect: false })).rejects.toThrow(
      /authorization violation/i,
    );
    const stranger = await startTestBroker();
    const accountSeed = readFileSync(stranger.accountSeedFile, 'utf8');
    await expect(enrolled({ accountSeed })).rejects.toThrow(/authorization violation/i);
    await stranger.stop();
  });

  it('is dropped at once when its user is revoked, and refused from then on, while another stays', async () => {
    const user = createUser();
    const jwt = await userJwt({ user });
    const ep = await enrolled({ user, jwt });
    const survivor = await enrolled({ ep: OTHER_EP });
    const dropped = ep.closed();
    const { iss: accountPublicKey } = decode<User>(jwt);
    const claims = await encodeSeverAccount({
      operatorSeed: readFileSync(broker.operatorSeedFile, 'utf8'),
      accountPublicKey,
      revocations: { [user.getPublicKey()]: Math.floor(Date.now() / 1000) },
    });
    const system = await asControlPlane(broker.systemCredsFile);
    const reply = await system.request('$SYS.REQ.CLAIMS.UPDATE', claims, { timeout: 2_000 });
    expect(reply.json()).toMatchObject({ data: { code: 200 } });
    await expect(dropped).resolves.toMatchObject({ message: expect.stringMatching(/revoked/i) });
    await expect(enrolled({ user, jwt })).rejects.toThrow(/authorization violation/i);
    await survivor.flush();

    // Kept on disk: a broker that restarts does not forget whom it must refuse.
    await broker.kill();
    await broker.restart();
    await expect(enrolled({ user, jwt })).rejects.toThrow(/authorization violation/i);
    const back = await enrolled({ ep: OTHER_EP });
    await back.flush();
  });

  interface Enrolment {
    ep?: string;
    user?: ReturnType<typeof createUser>;
    jwt?: string;
    accountSeed?: string;
    publish?: string[];
    subscribe?: string[];
    maxSubscriptions?: number;
    expiresAt?: Date;
  }

  async function userJwt(enrolment: Enrolment): Promise<string> {
    const { ep = EP, user = createUser(), jwt: _, ...grant } = enrolment;
    return mintUserJwt({
      accountSeed: readFileSync(broker.accountSeedFile, 'utf8'),
      userPublicKey: user.getPublicKey(),
      name: ep,
      ...epPermissions(TENANT, ep),
      ...grant,
    });
  }

  async function enrolled(enrolment: Enrolment = {}): Promise<NatsConnection> {
    const user = enrolment.user ?? createUser();
    const jwt = enrolment.jwt ?? (await userJwt({ ...enrolment, user }));
    const connection = await connect({
      servers: broker.url,
      authenticator: jwtAuthenticator(jwt, user.getSeed()),
      inboxPrefix: inboxPrefix(TENANT, enrolment.ep ?? EP),
      reconnect: false,
    });
    connections.push(connection);
    return connection;
  }

  async function asControlPlane(credsFile: string): Promise<NatsConnection> {
    const connection = await connect({
      servers: broker.url,
      authenticator: credsAuthenticator(readFileSync(credsFile)),
    });
    connections.push(connection);
    return connection;
  }
});

function collect(subscription: Subscription, into: string[]): void {
  void (async () => {
    for await (const message of subscription) into.push(message.subject);
  })().catch(() => undefined);
}

function collectReplies(subscription: Subscription): void {
  void (async () => {
    for await (const message of subscription) message.respond('answer');
  })();
}

/** The error that ends the subscription. */
async function refusalOf(subscription: Subscription): Promise<string> {
  const ended = await subscription.closed;
  return ended instanceof Error ? ended.message : 'closed without an error';
}

async function nextError(connection: NatsConnection): Promise<string> {
  for await (const status of connection.status())
    if (status.type === 'error') return status.error.message;
  throw new Error('the connection closed without an error');
}
