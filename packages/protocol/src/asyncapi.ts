import { z } from 'zod';
import { PROTOCOL_VERSION } from './defaults';
import * as messages from './messages';
import { BROADCASTS, broadcastSubject, EP_REQUESTS, inboxPrefix, requestSubject } from './subjects';

type Json = Record<string, unknown>;
type SchemaName = {
  [K in keyof typeof messages]: (typeof messages)[K] extends z.ZodType ? K : never;
}[keyof typeof messages];

interface MessageDoc {
  readonly summary: string;
  /** Who signs it, and the `typ` of its JWS; absent for plain JSON. */
  readonly signed?: { readonly by: string; readonly alg: 'EdDSA' | 'HS256'; readonly typ: string };
}

const byStreamKey = (type: string) =>
  ({ by: 'stream key of the tenant', alg: 'EdDSA', typ: messages.typOf(type) }) as const;
const byEnforcementPoint = (type: string) =>
  ({ by: 'key of the enforcement point', alg: 'EdDSA', typ: messages.typOf(type) }) as const;
const byLeaseKey = {
  by: 'lease key of the enforcement point',
  alg: 'HS256',
  typ: messages.LEASE_TYP,
} as const;

const MESSAGES = {
  Entry: {
    summary: 'One entry of the revocation stream; one or more signed entries, one a line.',
    signed: byStreamKey('entry'),
  },
  Pulse: { summary: 'Where the head of the stream is.', signed: byStreamKey('pulse') },
  Emergency: {
    summary: 'A kill announced before it has a place in the stream.',
    signed: byStreamKey('emergency'),
  },
  Halt: {
    summary: 'A kill order that needs no control plane.',
    signed: { by: 'halt key of the tenant', alg: 'EdDSA', typ: messages.typOf('halt') },
  },
  SnapshotRequest: {
    summary: 'Enters the roster and asks for everything in force.',
    signed: byEnforcementPoint('snapshot-request'),
  },
  SnapshotManifest: {
    summary: 'First reply to a snapshot request; covers the chunks by their hashes.',
    signed: byStreamKey('snapshot'),
  },
  SnapshotChunk: { summary: 'A part of a snapshot; its hash stands in the manifest.' },
  Refusal: { summary: 'In place of a manifest, when the request is refused.' },
  RangeRequest: { summary: 'Asks for entries by their sequence numbers.' },
  RangeReply: { summary: 'Signed entries in order, or that they are no longer kept.' },
  LeaseRequest: { summary: 'Asks for the right to go on admitting.' },
  LeaseGrant: {
    summary: 'The right to go on admitting, for a short while.',
    signed: byLeaseKey,
  },
  LeaseRefusal: { summary: 'Why no lease is given.', signed: byLeaseKey },
  Receipt: {
    summary: 'This boot enforces the stream up to a place.',
    signed: byEnforcementPoint('receipt'),
  },
  Evidence: {
    summary: 'Signed entries that a restored database may have forgotten.',
    signed: byEnforcementPoint('evidence'),
  },
  EvidenceReply: { summary: 'The evidence has been looked at, and what was missing is kept.' },
  CallBatch: {
    summary: 'Records of calls that this enforcement point has seen.',
    signed: byEnforcementPoint('call'),
  },
  CallsTaken: { summary: 'The records are kept; they need not be sent again.' },
  CallsRefused: { summary: 'Nothing of the batch was kept, and why.' },
  Leave: {
    summary: 'This boot refuses everything from now on.',
    signed: byEnforcementPoint('leave'),
  },
} as const satisfies Partial<Record<SchemaName, MessageDoc>>;
type MessageName = keyof typeof MESSAGES;

const BROADCAST_MESSAGES = {
  stream: ['Entry'],
  pulse: ['Pulse'],
  emergency: ['Emergency', 'Halt'],
} as const satisfies Record<(typeof BROADCASTS)[number], readonly MessageName[]>;

const REQUEST_MESSAGES = {
  snapshot: {
    asks: ['SnapshotRequest'],
    replies: ['SnapshotManifest', 'SnapshotChunk', 'Refusal'],
  },
  range: { asks: ['RangeRequest'], replies: ['RangeReply'] },
  lease: { asks: ['LeaseRequest'], replies: ['LeaseGrant', 'LeaseRefusal'] },
  receipt: { asks: ['Receipt', 'Leave'], replies: [] },
  evidence: { asks: ['Evidence'], replies: ['EvidenceReply'] },
  call: { asks: ['CallBatch'], replies: ['CallsTaken', 'CallsRefused'] },
} as const satisfies Record<
  (typeof EP_REQUESTS)[number],
  { asks: readonly MessageName[]; replies: readonly MessageName[] }
>;

const INBOX = 'inbox';
const ref = (...path: string[]) => ({ $ref: `#/${path.join('/')}` });

/**
 * The AsyncAPI 3.0 document of everything that travels between the control plane and enforcement points, as the control
 * plane serves it at `/asyncapi.json`. Its schemas are derived from the same zod schemas that check each message, so
 * it cannot say anything else. For a signed message the schema is that of the JSON inside the JWS.
 *
 * @example
 * writeFileSync('asyncapi.json', JSON.stringify(asyncApiDocument(), null, 2));
 */
export function asyncApiDocument(): Json {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Sever revocation stream',
      version: `${PROTOCOL_VERSION}.0.0`,
      description:
        'Signed messages by which a control plane tells enforcement points what is dead, and by which they prove that they refuse it.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels: channels(),
    operations: operations(),
    components: { messages: messageObjects(), schemas: schemas() },
  };
}

function channels(): Json {
  const all: Json = {};
  for (const kind of BROADCASTS)
    all[kind] = channel(broadcastSubject(kind, 'TENANT'), BROADCAST_MESSAGES[kind]);
  for (const kind of EP_REQUESTS)
    all[kind] = channel(requestSubject(kind, 'TENANT', 'EP'), REQUEST_MESSAGES[kind].asks);
  const replies = EP_REQUESTS.flatMap(
    (kind): readonly MessageName[] => REQUEST_MESSAGES[kind].replies,
  );
  all[INBOX] = channel(`${inboxPrefix('TENANT', 'EP')}.REPLY`, replies);
  return all;
}

const PARAMETERS = {
  TENANT: ['tenant', 'Id of the tenant.'],
  EP: ['ep', 'Id of the enforcement point; the broker lets nobody else use its subjects.'],
  REPLY: ['reply', 'Chosen by the enforcement point for one request.'],
} as const;

/** Placeholders stand in for tokens while the subject is built by the same code as on the wire. */
function channel(subject: string, names: readonly MessageName[]): Json {
  const parameters: Json = {};
  const address = subject
    .split('.')
    .map((part) => {
      const parameter = PARAMETERS[part as keyof typeof PARAMETERS];
      if (!Object.hasOwn(PARAMETERS, part)) return part;
      parameters[parameter[0]] = { description: parameter[1] };
      return `{${parameter[0]}}`;
    })
    .join('.');
  return {
    address,
    parameters,
    messages: Object.fromEntries(names.map((name) => [name, ref('components', 'messages', name)])),
  };
}

/** As the control plane sees them: it sends broadcasts and receives requests. */
function operations(): Json {
  const all: Json = {};
  for (const kind of BROADCASTS)
    all[`publish_${kind}`] = { action: 'send', channel: ref('channels', kind) };
  for (const kind of EP_REQUESTS) {
    const replies: readonly MessageName[] = REQUEST_MESSAGES[kind].replies;
    all[`answer_${kind}`] = {
      action: 'receive',
      channel: ref('channels', kind),
      ...(replies.length > 0 && {
        reply: {
          channel: ref('channels', INBOX),
          messages: replies.map((name) => ref('channels', INBOX, 'messages', name)),
        },
      }),
    };
  }
  return all;
}

function messageObjects(): Json {
  return Object.fromEntries(
    Object.entries<MessageDoc>(MESSAGES).map(([name, { summary, signed }]) => [
      name,
      {
        name,
        summary,
        contentType: signed ? 'application/jose' : 'application/json',
        payload: ref('components', 'schemas', name),
        ...(signed && { 'x-jws': signed }),
      },
    ]),
  );
}

/** Every schema of `messages/`, by its exported name; one that holds another refers to it. */
function schemas(): Json {
  const registry = z.registry<{ id: string }>();
  const aliases: Json = {};
  for (const [id, schema] of Object.entries(messages).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!(schema instanceof z.ZodType)) continue;
    const known = registry.get(schema);
    if (known === undefined) registry.add(schema, { id });
    else aliases[id] = ref('components', 'schemas', known.id);
  }
  const { schemas: generated } = z.toJSONSchema(registry, {
    target: 'draft-7',
    // What is accepted: fields that this version does not know are ignored, so that later ones can be added.
    io: 'input',
    uri: (id) => `#/components/schemas/${id}`,
  });
  const named = Object.entries(generated).map(
    ([id, { $schema: _dialect, $id: _id, ...schema }]) => [id, schema],
  );
  return { ...Object.fromEntries(named), ...aliases } as Json;
}
