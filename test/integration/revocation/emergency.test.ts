import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KEY_ROLES, newId, type SpawnReply } from '@sever/protocol';
import { pino, type Logger } from 'pino';
import { loadConfig, type Config } from '../../../src/config/config';
import { KnownKeys } from '../../../src/access/known-keys';
import type { AccessStore, ValidKeyRow } from '../../../src/access/access.store';
import { hashSecretKey } from '../../../src/access/secret-keys';
import { CommitOrders } from '../../../src/revocation/commit-orders';
import { EmergencyJournal } from '../../../src/revocation/emergency/emergency-journal';
import type { EmergencyOrder } from '../../../src/revocation/emergency/emergency-order';
import { EmergencyStore } from '../../../src/revocation/emergency/emergency.store';
import { Sealer } from '../../../src/signing/sealer';
import { Replica } from '../../../src/stream/replica';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { eventually } from '../../support/eventually';
import { startTestPostgres, type TestPostgres } from '../../support/postgres';
import { createRunFolder } from '../../support/run-folder';

const MASTER_KEY = randomBytes(32);

function configFor(dataDir: string): Config {
  return loadConfig({ SEVER_DATA_DIR: dataDir });
}

/** A logger whose alarms can be read. */
function listening(): { log: Logger; alarms: string[] } {
  const alarms: string[] = [];
  const log = pino(
    { level: 'error' },
    { write: (line: string) => void alarms.push(line) },
  ) as Logger;
  return { log, alarms };
}

function order(id = newId('kill')): EmergencyOrder {
  const agent = newId('agent');
  return {
    tenant: newId('tenant'),
    order: {
      ...{ id, action: 'kill', only: false, reason: 'x', ticket: null, audit_id: newId('audit') },
      ...{ subjects: [{ kind: 'agent', id: agent }], idempotency: null },
      actor: { id: 'a', name: 'a', kind: 'operator' },
      caller: { kind: 'operator' },
    },
    subjects: [`agent:${agent}`],
    warnings: [],
    issuedAt: 1,
    notAfter: 2,
  };
}

describe('the journal of emergencies', () => {
  const journalIn = (folder: string, key = MASTER_KEY) => {
    const { log, alarms } = listening();
    const sealer = new Sealer(key);
    const journal = new EmergencyJournal(sealer, new Replica(), configFor(folder), log);
    return { journal, alarms };
  };
  const files = (folder: string): string[] =>
    readdirSync(join(folder, 'emergencies')).map((name) => join(folder, 'emergencies', name));
  const written = async (folder: string, ...orders: EmergencyOrder[]): Promise<string> => {
    const { journal } = journalIn(folder);
    await journal.load();
    for (const one of orders) expect(await journal.append(one)).toBe(true);
    return files(folder)[0] as string;
  };

  it('gives a later process what was left open, and nothing that was closed', async () => {
    const folder = createRunFolder('journal');
    const [open, closed] = [order(), order()];
    const { journal } = journalIn(folder);
    await journal.load();
    expect([await journal.append(open), await journal.append(closed)]).toEqual([true, true]);
    await journal.close(closed.order.id);
    const later = journalIn(folder);
    expect(await later.journal.load()).toEqual([open]);
    await later.journal.close(open.order.id);
    expect(await journalIn(folder).journal.load()).toEqual([]);
    expect(later.alarms).toEqual([]);
  });

  it('leaves out a line that was changed, raises an alarm, and keeps the others', async () => {
    const folder = createRunFolder('journal');
    const [first, second] = [order(), order()];
    const file = await written(folder, first, second);
    writeFileSync(file, readFileSync(file, 'utf8').replace(first.order.reason, 'y'));
    const { journal, alarms } = journalIn(folder);
    expect(await journal.load()).toEqual([second]);
    expect([journal.refusedLines, alarms.length]).toEqual([1, 1]);
    expect(alarms[0]).toContain('emergency_journal_tampered');
  });

  it('takes no line that was written under another master key', async () => {
    const folder = createRunFolder('journal');
    await written(folder, order());
    const { journal } = journalIn(folder, randomBytes(32));
    expect(await journal.load()).toEqual([]);
    expect(journal.refusedLines).toBe(1);
  });

  it('takes a last line without its end for one that was never answered, and no alarm', async () => {
    const folder = createRunFolder('journal');
    const [kept, torn] = [order(), order()];
    const file = await written(folder, kept, torn);
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -10));
    const { journal, alarms } = journalIn(folder);
    expect(await journal.load()).toEqual([kept]);
    expect(alarms).toEqual([]);
  });

  it('takes back half a line when the disk is full, so that what was written before and after can be read', async () => {
    const folder = createRunFolder('journal');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', folder]);
    try {
      const { journal } = journalIn(folder);
      await journal.load();
      const orders = Array.from({ length: 200 }, () => order());
      const kept: EmergencyOrder[] = [];
      for (const one of orders) if (await journal.append(one)) kept.push(one);
      expect(kept.length).toBeGreaterThan(0);
      expect(kept.length).toBeLessThan(orders.length);
      const later = journalIn(folder);
      expect(await later.journal.load()).toEqual(kept);
      expect(later.journal.refusedLines).toBe(0);
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  });
});

describe('keys that are known', () => {
  const key = 'sek_' + 'k'.repeat(43);
  const row = (more: Partial<ValidKeyRow> = {}): ValidKeyRow => ({
    ...{ hash: hashSecretKey(key), tenant: 't', id: 'key_1', owner_id: 'p', name: 'n' },
    ...{ role: 'responder', expires_at: Date.now() + 3_600_000, ...more },
  });
  const knownIn = (folder: string, rows: () => ValidKeyRow[]) => {
    const { log, alarms } = listening();
    const store = { validKeys: async () => rows() } as unknown as AccessStore;
    return { known: new KnownKeys(store, new Sealer(MASTER_KEY), configFor(folder), log), alarms };
  };
  const away = (): never => {
    throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  };
  const started = async (folder: string, rows: () => ValidKeyRow[]) => {
    const { known, alarms } = knownIn(folder, rows);
    await known.onApplicationBootstrap();
    known.onModuleDestroy();
    return { known, alarms };
  };

  it('are found again by a process that starts without an answer', async () => {
    const folder = createRunFolder('known-keys');
    await started(folder, () => [row()]);
    const { known } = await started(folder, away);
    expect(known.find(hashSecretKey(key))).toMatchObject({ owner_id: 'p', role: 'responder' });
    expect(known.find(hashSecretKey('another'))).toBeUndefined();
  });

  it('are gone as soon as the database says that they are revoked', async () => {
    let rows = [row()];
    const { known } = await started(createRunFolder('known-keys'), () => rows);
    expect(known.find(hashSecretKey(key))).toBeDefined();
    rows = [];
    await known.refresh();
    expect(known.find(hashSecretKey(key))).toBeUndefined();
  });

  it('end with their own life, although the database is away', async () => {
    const { known } = await started(createRunFolder('known-keys'), () => [
      row({ expires_at: Date.now() - 1 }),
    ]);
    expect(known.find(hashSecretKey(key))).toBeUndefined();
  });

  it('do not come from a file that somebody else has written', async () => {
    const folder = createRunFolder('known-keys');
    await started(folder, () => [row()]);
    const file = join(folder, 'known-keys');
    writeFileSync(file, readFileSync(file, 'utf8').replace('responder', 'admin'));
    const { known, alarms } = await started(folder, away);
    expect(known.find(hashSecretKey(key))).toBeUndefined();
    expect(alarms.join()).toContain('known_keys_tampered');
  });
});

describe('who may kill without the database', () => {
  let postgres: TestPostgres;
  let plane: TestControlPlane;
  const keys = new Map<string, string>();
  let victims: SpawnReply[];

  beforeAll(async () => {
    postgres = await startTestPostgres();
    plane = await startTestControlPlane({ SEVER_DATABASE_URL: postgres.url });
    for (const role of KEY_ROLES)
      keys.set(role, (await plane.client.createApiKey({ role, name: role })).key);
    const revoked = await plane.client.createApiKey({ role: 'responder', name: 'revoked' });
    await plane.call('GET', '/v1/kills', { key: revoked.key });
    await plane.call('DELETE', `/v1/api-keys/${revoked.id}`);
    keys.set('revoked', revoked.key).set('nobody', 'sek_' + 'A'.repeat(43));
    victims = [];
    for (let n = 0; n < 12; n++)
      victims.push(await plane.client.spawn({ name: 'v', initiator: { subject: 'a' } }));
    keys.set('agent', (victims[0] as SpawnReply).credential.token).set('bootstrap', plane.key);
    // Those who have not used their key yet are known as well, after the next look.
    await plane.plane.app.get(KnownKeys).refresh();
    await postgres.kill();
  }, 180_000);
  afterAll(async () => {
    await plane.plane.close();
    await plane.broker.stop();
    await plane.database.drop();
    await postgres.stop();
  });

  const kill = (key: string, subject: object, more: object = {}) =>
    plane.call('POST', '/v1/kills', { key, body: { subject, reason: 'x', ...more } });
  const someone = (): object => ({ kind: 'agent', id: (victims[1] as SpawnReply).agent.id });

  it.each([
    ...(['bootstrap', 'responder', 'lead', 'playbook', 'admin'] as const).map(
      (role) => [role, 202, 'emergency'] as const,
    ),
    ['auditor', 403, 'forbidden'],
    ['service', 503, 'unavailable'],
    ['agent', 503, 'unavailable'],
    ['revoked', 503, 'unavailable'],
    ['nobody', 503, 'unavailable'],
  ] as const)('%s: %d %s', async (role, status, said) => {
    const reply = await kill(keys.get(role) as string, someone());
    expect([reply.status, reply.body.state ?? reply.body.code]).toEqual([status, said]);
    if (status === 503) expect(reply.headers.get('retry-after')).toBe('1');
    if (role === 'service' || role === 'agent')
      expect(String(reply.body.detail)).toContain('bootstrap key');
  });

  it.each([
    ['a grant', { kind: 'grant', id: newId('grant') }],
    ['a task', { kind: 'task', id: newId('task') }],
    ['an initiator by id', { kind: 'initiator', id: newId('initiator') }],
    ['a service', { kind: 'service', id: newId('principal') }],
    ['a label', { kind: 'label', id: 'team:red' }],
    ['an enforcement point', { kind: 'enforcement_point', id: newId('enforcementPoint') }],
    ['an enrolment key', { kind: 'enrolment_key', id: newId('enrolmentKey') }],
    ['a signing key', { kind: 'signing_key', id: 'x'.repeat(43) }],
  ])('takes %s', async (_, subject) => {
    expect(await kill(plane.key, subject)).toMatchObject({
      status: 202,
      body: { state: 'emergency' },
    });
  });

  it.each([
    ['a human by name', { kind: 'initiator', subject: 'alice' }, {}, /ini_/],
    ['a ref', { kind: 'ref', id: 'order:7' }, {}, /name an agent/],
    ['a trace', { kind: 'trace', id: 'a'.repeat(32) }, {}, /name an agent/],
    ['another tenant', { kind: 'tenant', id: newId('tenant') }, {}, /tenant of the key/],
    ['a bound', undefined, { max_agents: 5 }, /leave them out/],
  ])('refuses %s and says what to send instead', async (_, subject, more, says) => {
    const reply = await kill(plane.key, subject ?? someone(), more);
    expect(reply).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(reply.body.detail).toMatch(says);
  });

  it('tells a token that is not ours from one that it cannot look up, without the database', async () => {
    const reply = await kill(plane.key, { kind: 'token', token: 'eyJx.eyJ.x' });
    expect(reply).toMatchObject({ status: 422, body: { code: 'bad_subject' } });
  });

  it('refuses another request under a key of the same outage', async () => {
    const headers = { 'idempotency-key': 'one' };
    const send = (reason: string) =>
      plane.call('POST', '/v1/kills', { headers, body: { subject: someone(), reason } });
    const [first, same, different] = [await send('a'), await send('a'), await send('b')];
    expect(same.body.id).toBe(first.body.id);
    expect(different).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } });
  });

  it('waits for the database with everything else that only it can tell', async () => {
    expect((await plane.call('GET', '/v1/kills')).status).toBe(503);
    expect(
      (await plane.call('POST', `/v1/kills/${newId('kill')}/lift`, { body: { reason: 'x' } }))
        .status,
    ).toBe(503);
  });
});

describe('a disk that is full during an outage', () => {
  it('keeps no kill back: it is announced, and the answer says that it is not on disk', async () => {
    const folder = createRunFolder('full-disk');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder]);
    const postgres = await startTestPostgres();
    const plane = await startTestControlPlane({
      SEVER_DATABASE_URL: postgres.url,
      SEVER_DATA_DIR: folder,
    });
    try {
      const victim = await plane.client.spawn({ name: 'v', initiator: { subject: 'a' } });
      mkdirSync(join(folder, 'ballast'));
      expect(() => writeFileSync(join(folder, 'ballast', 'b'), randomBytes(1_048_576))).toThrow(
        /ENOSPC/,
      );
      await postgres.kill();
      const { status, body } = await plane.call('POST', '/v1/kills', {
        body: { subject: { kind: 'agent', id: victim.agent.id }, reason: 'x' },
      });
      expect([status, body.state, body.journaled]).toEqual([202, 'emergency', false]);
      expect(body.warnings).toEqual(['not_journaled']);
      expect(body.summary).toContain('keep this replica running');
      await postgres.restart();
      await eventually(
        async () =>
          expect((await plane.client.getKill(body.id as string)).state).not.toBe('emergency'),
        { timeoutMs: 30_000 },
      );
    } finally {
      await plane.plane.close();
      await plane.broker.stop();
      await plane.database.drop();
      await postgres.stop();
      execFileSync('umount', ['-l', folder]);
    }
  }, 120_000);
});

describe('the end of an emergency in the database', () => {
  let plane: TestControlPlane;
  let store: EmergencyStore;
  let tenant: string;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    store = plane.plane.app.get(EmergencyStore);
    [tenant = ''] = await store.tenants();
  });
  afterAll(() => plane.close());

  it('comes once, whoever closes it and however often, and its order is never taken afterwards', async () => {
    const victim = await plane.client.spawn({ name: 'v', initiator: { subject: 'a' } });
    const ghost = { ...order(), tenant };
    const refusal = { problem: 'not_found' };
    const closings = await Promise.all(
      Array.from({ length: 8 }, () => store.close(ghost, refusal)),
    );
    expect(closings.filter(({ entries }) => entries !== undefined)).toHaveLength(1);
    expect(new Set(closings.map(({ state }) => state))).toEqual(new Set(['refused']));
    // The same id for a subject that exists: the announcement's lift would hide it from enforcement points.
    const late = await plane.plane.app.get(CommitOrders).submit(tenant, {
      ...ghost.order,
      subjects: [{ kind: 'agent', id: victim.agent.id }],
    });
    expect(late).toMatchObject({ problem: 'not_found' });
    expect((await plane.client.getAgent(victim.agent.id)).state).toBe('active');
  });

  it('does not come while the order is neither there nor refused', async () => {
    expect(await store.close({ ...order(), tenant }, null)).toEqual({ state: 'open' });
  });
});
