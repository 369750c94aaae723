import { createHash } from 'node:crypto';
import { CompactSign, importJWK } from 'jose';
import { ENROLMENT_PROOF_TYP, LEASE_TYP, raisedFloor, TOKEN_TYP, typOf } from '../src';

/**
 * Published test keys. They are the test vectors of RFC 8032 (section 7.1), known to the whole world: nothing may ever
 * trust them outside a test.
 */
export const KEYS = {
  stream: {
    kty: 'OKP',
    crv: 'Ed25519',
    d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
    x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
    kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
  },
  enforcement_point: {
    kty: 'OKP',
    crv: 'Ed25519',
    d: 'TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs',
    x: 'PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw',
    kid: 'FtIu-VbGrfe_KB6CH7GNwODB72MNxj_ml11dEvO-7kk',
  },
  token: {
    kty: 'OKP',
    crv: 'Ed25519',
    d: 'xaqN9D-fg3vtt0QvMdy3sWbThTUHbwlLhc46LgtEWPc',
    x: '_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU',
    kid: 'FVV5umTuau890q59V-4Ga_R6qWb7ON_ivJc4EjvCwTM',
  },
  halt: {
    kty: 'OKP',
    crv: 'Ed25519',
    d: 'gz_mJAkje51i7HdYdSCRHpp1nOwdGXVbfakBuW3KPUI',
    x: '7Bcrk61eVjv0kyxw4SRQNMNUZ-8u_U1k6_gZaDRn4r8',
    kid: 'iiDHHfFVNG6ICMUTsicgrWf1igtFYZEK73xlobt1ah4',
  },
  /** Bytes 00 to 1f, base64url, as `lease_key` of the enrolment reply gives it. */
  lease: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8',
} as const;

export type Signer = keyof typeof KEYS;

export interface GoldenMessage {
  signed_by: Signer;
  typ: string;
  /** The exact text that is signed and hashed; `payload` is the same, read. */
  payload_text: string;
  payload: object;
  jws: string;
}

/** An entry also shows its step of the chain. */
export interface GoldenEntry extends GoldenMessage {
  payload_sha256: string;
  digest_after: string;
}

export const IDS = {
  tenant: 'ten_01h455vb4pex5vsknk084sn000',
  agent: 'agt_01h455vb4pex5vsknk084sn001',
  parent: 'agt_01h455vb4pex5vsknk084sn002',
  credential: 'crd_01h455vb4pex5vsknk084sn003',
  initiator: 'ini_01h455vb4pex5vsknk084sn004',
  task: 'tsk_01h455vb4pex5vsknk084sn005',
  grant: 'grt_01h455vb4pex5vsknk084sn006',
  service: 'prn_01h455vb4pex5vsknk084sn007',
  ep: 'enf_01h455vb4pex5vsknk084sn008',
  boot: 'bot_01h455vb4pex5vsknk084sn009',
  kill: 'kil_01h455vb4pex5vsknk084sn00a',
  killOfCredential: 'kil_01h455vb4pex5vsknk084sn00b',
  suspension: 'kil_01h455vb4pex5vsknk084sn00c',
  rotation: 'kil_01h455vb4pex5vsknk084sn00d',
  emergency: 'kil_01h455vb4pex5vsknk084sn00e',
  halt: 'kil_01h455vb4pex5vsknk084sn00f',
  call: 'cal_01h455vb4pex5vsknk084sn00g',
} as const;
const NOW = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const NONCE = 'q83vEjRWeJCrze8SNFZ4kA';
const ZERO = Buffer.alloc(32);

const sha256 = (...parts: (Buffer | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

async function sign(signer: Signer, typ: string, payload: object): Promise<GoldenMessage> {
  const key = KEYS[signer];
  const payload_text = JSON.stringify(payload);
  const signing = new CompactSign(Buffer.from(payload_text));
  const jws =
    typeof key === 'string'
      ? await signing.setProtectedHeader({ alg: 'HS256', typ }).sign(Buffer.from(key, 'base64url'))
      : await signing
          .setProtectedHeader({ alg: 'EdDSA', typ, kid: key.kid })
          .sign(await importJWK(key, 'EdDSA'));
  return { signed_by: signer, typ, payload_text, payload, jws };
}

const envelope = (type: string) => ({ type, v: 1, tenant: IDS.tenant });

/** Five entries from the start of an epoch, one of each kind of op, each chained to the one before. */
async function entries(): Promise<GoldenEntry[]> {
  const { d: _secret, ...nextKey } = KEYS.token;
  const floor = raisedFloor(1, 1, 1);
  const orders = [
    [IDS.kill, { op: 'floor', subject: `agent:${IDS.agent}`, generation: floor }],
    [IDS.killOfCredential, { op: 'floor', subject: `family:${IDS.credential}`, generation: floor }],
    [IDS.suspension, { op: 'suspend', id: IDS.suspension, subject: 'tool:github/create_issue' }],
    [IDS.suspension, { op: 'lift', id: IDS.suspension }],
    [
      IDS.rotation,
      { op: 'key', purpose: 'token', kid: KEYS.token.kid, state: 'next', jwk: nextKey },
    ],
  ] as const;
  const chain: GoldenEntry[] = [];
  let before: Buffer = ZERO;
  for (const [index, [kill_id, op]] of orders.entries()) {
    const message = await sign('stream', typOf('entry'), {
      ...envelope('entry'),
      epoch: 1,
      seq: index + 1,
      op,
      kill_id,
      digest: before.toString('base64url'),
      at: NOW + index * 1_000,
    });
    const hash = sha256(message.payload_text);
    const after = sha256(before, hash);
    chain.push({
      ...message,
      payload_sha256: hash.toString('base64url'),
      digest_after: after.toString('base64url'),
    });
    before = after;
  }
  return chain;
}

/** File name without `.json` → its content. */
export async function goldenMessages(): Promise<Record<string, unknown>> {
  const stream = await entries();
  const digest = stream.at(-1)!.digest_after;
  const keepUntil = NOW + 16 * 60_000;
  const chunks = [
    JSON.stringify({
      i: 0,
      items: [
        ['f', `agent:${IDS.agent}`, raisedFloor(1, 1, 1), keepUntil, IDS.kill],
        ['f', `family:${IDS.credential}`, raisedFloor(1, 1, 1), keepUntil, IDS.killOfCredential],
      ],
    }),
    JSON.stringify({
      i: 1,
      items: [
        ['k', 'token', KEYS.token.kid, 'next', publicPart('token')],
        ['e', IDS.emergency, `agent:${IDS.parent}`],
        ['l', IDS.suspension],
      ],
    }),
  ];
  const boot = { ep: IDS.ep, boot_id: IDS.boot };
  return {
    keys: KEYS,
    entries: stream,
    pulse: await sign('stream', typOf('pulse'), {
      ...envelope('pulse'),
      epoch: 1,
      head: 5,
      source: IDS.boot,
      n: 41,
      now: NOW,
      receipt_window_ms: 20,
    }),
    emergency: await sign('stream', typOf('emergency'), {
      ...envelope('emergency'),
      kill_id: IDS.emergency,
      subjects: [`agent:${IDS.parent}`],
      issued_at: NOW,
      not_after: NOW + 24 * 3_600_000,
    }),
    halt: await sign('halt', typOf('halt'), {
      ...envelope('halt'),
      kill_id: IDS.halt,
      subjects: [`agent:${IDS.agent}`, 'tool:github/create_issue'],
      reason: 'The control plane is gone and this agent must not go on.',
      issued_at: NOW,
      not_after: NOW + 365 * 86_400_000,
    }),
    'snapshot-request': await sign('enforcement_point', typOf('snapshot-request'), {
      ...envelope('snapshot-request'),
      ...boot,
      nonce: NONCE,
      mode: 'strict',
      abort: 'stream',
    }),
    snapshot: {
      ...(await sign('stream', typOf('snapshot'), {
        ...envelope('snapshot'),
        epoch: 1,
        seq: 5,
        boot_id: IDS.boot,
        nonce: NONCE,
        digest,
        chunks: chunks.map((chunk) => sha256(chunk).toString('base64url')),
        items: 5,
        now: NOW,
      })),
      /** The messages that follow it, byte for byte. */
      chunk_texts: chunks,
    },
    lease: await sign('lease', LEASE_TYP, {
      ...envelope('lease'),
      ...boot,
      nonce: NONCE,
      epoch: 1,
      head: 5,
      valid_ms: 10_000,
      now: NOW,
    }),
    'lease-refused': await sign('lease', LEASE_TYP, {
      ...envelope('lease-refused'),
      ...boot,
      nonce: NONCE,
      code: 'boot_unknown',
    }),
    receipt: await sign('enforcement_point', typOf('receipt'), {
      ...envelope('receipt'),
      ...boot,
      epoch: 1,
      applied: 5,
      held_ms: 3.25,
      in_flight: { [IDS.kill]: { aborted: 1, completed: 0, uncontrolled: 0 } },
      nacks: [],
      digest,
    }),
    evidence: await sign('enforcement_point', typOf('evidence'), {
      ...envelope('evidence'),
      ...boot,
      epoch: 1,
      applied: 5,
      entries: stream.slice(0, 2).map(({ jws }) => jws),
    }),
    call: await sign('enforcement_point', typOf('call'), {
      ...envelope('call'),
      ...boot,
      records: [
        {
          id: IDS.call,
          started_at: NOW,
          duration_ms: 12.5,
          chain: [IDS.parent, IDS.agent],
          initiator: IDS.initiator,
          service: IDS.service,
          tasks: [IDS.task],
          credential: IDS.credential,
          upstream: 'github',
          tool: 'github/create_issue',
          decision: 'deny',
          code: 'agent_revoked',
          stale: false,
          outcome: 'refused',
          kill_id: IDS.kill,
          bytes_in: 120,
          bytes_out: 0,
          status: 403,
          trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
          span_id: '00f067aa0ba902b7',
          arguments_hash: digest,
        },
      ],
    }),
    leave: await sign('enforcement_point', typOf('leave'), {
      ...envelope('leave'),
      ...boot,
      epoch: 1,
      applied: 5,
    }),
    'enrolment-proof': await sign('enforcement_point', ENROLMENT_PROOF_TYP, {
      name: 'payments',
      nats_public_key: `U${'A'.repeat(55)}`,
      iat: NOW / 1_000,
      jti: NONCE,
    }),
    token: await sign('token', TOKEN_TYP, {
      iss: 'http://127.0.0.1:7400',
      aud: 'sever',
      jti: IDS.credential,
      iat: NOW / 1_000,
      exp: NOW / 1_000 + 900,
      sub: IDS.agent,
      tid: IDS.tenant,
      scope: 'tool:github/create_issue http:GET:billing/*',
      lin: [
        [`tenant:${IDS.tenant}`, 1],
        [`service:${IDS.service}`, 1],
        [`initiator:${IDS.initiator}`, 1],
        [`task:${IDS.task}`, 1],
        [`agent:${IDS.parent}`, 1],
        [`label:team:red`, 1],
        [`agent:${IDS.agent}`, 1],
        [`grant:${IDS.grant}`, 1],
        [`family:${IDS.credential}`, 1],
        [`credential:${IDS.credential}`, 1],
      ],
    }),
    unsigned: {
      'lease-request': {
        type: 'lease-request',
        v: 1,
        nonce: NONCE,
        boot_id: IDS.boot,
        mode: 'strict',
        epoch: 1,
        applied: 5,
        digest,
      },
      'range-request': { type: 'range-request', v: 1, epoch: 1, from: 1, to: 2 },
      range: {
        type: 'range',
        v: 1,
        epoch: 1,
        entries: stream.slice(0, 2).map(({ jws }) => jws),
        compacted: false,
      },
      'stream-page': {
        type: 'stream-page',
        v: 1,
        next: '1.2',
        heard: `${IDS.boot}.0`,
        entries: stream.slice(0, 2).map(({ jws }) => jws),
        compacted: false,
        pulse: null,
        emergencies: [],
      },
      'evidence-taken': { type: 'evidence-taken', v: 1, epoch: 2 },
      'calls-taken': { type: 'calls-taken', v: 1, stored: 1, known: 0, outside: 0 },
      'calls-refused': {
        type: 'calls-refused',
        v: 1,
        code: 'busy',
        detail: 'Too much waits already; send it again.',
      },
      refused: {
        type: 'refused',
        v: 1,
        code: 'bad_proof',
        detail: 'The request is not signed by the key that enrolled.',
      },
    },
  };
}

export function publicPart(signer: Exclude<Signer, 'lease'>) {
  const { d: _secret, ...jwk } = KEYS[signer];
  return jwk;
}
