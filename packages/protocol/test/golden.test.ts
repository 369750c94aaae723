import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, compactVerify, importJWK } from 'jose';
import type { z } from 'zod';
import * as protocol from '../src';
import {
  goldenMessages,
  KEYS,
  publicPart,
  type GoldenEntry,
  type GoldenMessage,
} from './golden-messages';
import { messageTypeOf } from './message-type';

/**
 * The wire is pinned: what a release has put on it, every later one must read and write to the byte. A test that fails
 * here has found a change of the protocol. When the change is meant, and only then, write the files anew with
 * `UPDATE_GOLDEN=1 npx jest packages/protocol/test/golden.test.ts` and say so in CHANGELOG.md.
 */
const FOLDER = join(__dirname, '../golden');

const SCHEMAS: Record<string, z.ZodType> = {
  entries: protocol.Entry,
  pulse: protocol.Pulse,
  emergency: protocol.Emergency,
  halt: protocol.Halt,
  'snapshot-request': protocol.SnapshotRequest,
  snapshot: protocol.SnapshotManifest,
  lease: protocol.LeaseGrant,
  'lease-refused': protocol.LeaseRefusal,
  receipt: protocol.Receipt,
  evidence: protocol.Evidence,
  call: protocol.CallBatch,
  leave: protocol.Leave,
  'enrolment-proof': protocol.EnrolmentProof,
  token: protocol.TokenClaims,
};
const UNSIGNED: Record<string, z.ZodType> = {
  'lease-request': protocol.LeaseRequest,
  'range-request': protocol.RangeRequest,
  range: protocol.RangeReply,
  'stream-page': protocol.StreamPage,
  'evidence-taken': protocol.EvidenceReply,
  'calls-taken': protocol.CallsTaken,
  'calls-refused': protocol.CallsRefused,
  refused: protocol.Refusal,
};

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as T;
}

const signed = (name: string): GoldenMessage[] =>
  [read<GoldenMessage | GoldenMessage[]>(name)].flat();

const base64url = (...parts: (Buffer | string)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('base64url');
};

beforeAll(async () => {
  if (process.env['UPDATE_GOLDEN'] !== '1') return;
  mkdirSync(FOLDER, { recursive: true });
  for (const [name, content] of Object.entries(await goldenMessages()))
    writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(content, null, 2)}\n`);
});

describe('golden messages', () => {
  it('are still written byte for byte', async () => {
    const now = await goldenMessages();
    expect(readdirSync(FOLDER).sort()).toEqual(
      Object.keys(now)
        .map((name) => `${name}.json`)
        .sort(),
    );
    for (const [name, content] of Object.entries(now))
      expect({ [name]: read(name) }).toEqual({ [name]: JSON.parse(JSON.stringify(content)) });
  });

  it.each(Object.keys(SCHEMAS))('%s is read, and nothing in it is unknown', (name) => {
    for (const { payload, payload_text } of signed(name)) {
      expect(JSON.parse(payload_text)).toEqual(payload);
      expect(SCHEMAS[name]!.parse(payload)).toEqual(payload);
    }
  });

  it.each(Object.keys(UNSIGNED))('%s (unsigned) is read, and nothing in it is unknown', (name) => {
    const message = read<Record<string, object>>('unsigned')[name];
    expect(message).toBeDefined();
    expect(UNSIGNED[name]!.parse(message)).toEqual(message);
  });

  it.each(Object.keys(SCHEMAS))(
    '%s verifies under its published key, and under no other',
    async (name) => {
      for (const { signed_by, typ, jws, payload_text } of signed(name)) {
        for (const signer of Object.keys(KEYS) as (keyof typeof KEYS)[]) {
          const key =
            signer === 'lease'
              ? Buffer.from(KEYS.lease, 'base64url')
              : await importJWK(publicPart(signer), 'EdDSA');
          const algorithms = [signer === 'lease' ? 'HS256' : 'EdDSA'];
          const verified = compactVerify(jws, key, { algorithms });
          if (signer !== signed_by) {
            await expect(verified).rejects.toThrow();
            continue;
          }
          const { payload, protectedHeader } = await verified;
          expect(Buffer.from(payload).toString()).toBe(payload_text);
          expect(protectedHeader.typ).toBe(typ);
        }
      }
    },
  );

  it('name the type of what they hold, so that none can be taken for another', () => {
    for (const name of Object.keys(SCHEMAS)) {
      for (const { typ, payload } of signed(name)) {
        const { type } = payload as { type?: string };
        if (type === 'lease-refused') expect(typ).toBe(protocol.LEASE_TYP);
        else if (type !== undefined) expect(typ).toBe(protocol.typOf(type));
        for (const [other, schema] of Object.entries(SCHEMAS))
          if (other !== name) expect(schema.safeParse(payload).success).toBe(false);
      }
    }
  });

  it('exist for every message that names its type', () => {
    const types = Object.values(protocol).flatMap((one) => messageTypeOf(one) ?? []);
    const golden = [
      ...Object.keys(SCHEMAS).flatMap((name) => signed(name)),
      ...Object.values(read<Record<string, object>>('unsigned')).map((payload) => ({ payload })),
    ].map(({ payload }) => (payload as { type?: string }).type);
    expect(types.length).toBeGreaterThan(10);
    for (const type of types) expect(golden).toContain(type);
  });

  it('keys are named by their RFC 7638 thumbprint', async () => {
    for (const signer of ['stream', 'enforcement_point', 'token', 'halt'] as const)
      expect(await calculateJwkThumbprint(publicPart(signer))).toBe(KEYS[signer].kid);
  });
});

describe('the digest chain', () => {
  const chain = (): GoldenEntry[] => read<GoldenEntry[]>('entries');

  it('starts at 32 zero bytes and takes in the hash of each payload', () => {
    let before = Buffer.alloc(32);
    for (const { payload, payload_text, payload_sha256, digest_after } of chain()) {
      expect((payload as protocol.Entry).digest).toBe(before.toString('base64url'));
      expect(base64url(payload_text)).toBe(payload_sha256);
      const after = base64url(before, Buffer.from(payload_sha256, 'base64url'));
      expect(after).toBe(digest_after);
      before = Buffer.from(after, 'base64url');
    }
  });

  it('is gapless from 1, and its end is what the snapshot and the receipt name', () => {
    expect(chain().map(({ payload }) => (payload as protocol.Entry).seq)).toEqual([1, 2, 3, 4, 5]);
    const end = chain().at(-1)!.digest_after;
    expect(read<GoldenMessage>('snapshot').payload).toMatchObject({ seq: 5, digest: end });
    expect(read<GoldenMessage>('receipt').payload).toMatchObject({ applied: 5, digest: end });
  });

  it('shows every op that this version knows', () => {
    const ops = chain().map(({ payload }) => protocol.knownOp(payload as protocol.Entry)?.op);
    const known = protocol.KnownOp.options.map((option) => option.shape.op.value);
    expect(new Set(ops)).toEqual(new Set(known));
  });
});

describe('the golden snapshot', () => {
  const snapshot = () =>
    read<GoldenMessage & { payload: protocol.SnapshotManifest; chunk_texts: string[] }>('snapshot');

  it('names the hash of every chunk, in order, and how many items they hold', () => {
    const { payload, chunk_texts } = snapshot();
    expect(chunk_texts.map((text) => base64url(text))).toEqual(payload.chunks);
    const chunks = chunk_texts.map((text) => protocol.SnapshotChunk.parse(JSON.parse(text)));
    expect(chunks.map(({ i }) => i)).toEqual([0, 1]);
    expect(chunks.flatMap(({ items }) => items)).toHaveLength(payload.items);
  });
});
