import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { z } from 'zod';
import {
  asyncApiDocument,
  BROADCASTS,
  broadcastSubject,
  EP_REQUESTS,
  inboxPrefix,
  requestSubject,
} from '../src';
import * as messages from '../src/messages';
import { messageTypeOf } from './message-type';

const ERROR = 0;
const WARNING = 1;

interface Channel {
  address: string;
  messages: Record<string, { $ref: string }>;
}
interface Document {
  channels: Record<string, Channel>;
  operations: Record<string, { action: string; channel: { $ref: string }; reply?: object }>;
  components: {
    messages: Record<string, { payload: { $ref: string }; 'x-jws'?: { typ: string } }>;
    schemas: Record<string, { properties?: Record<string, { const?: unknown }> }>;
  };
}
const document = asyncApiDocument() as unknown as Document;
const schemas = Object.entries(messages).flatMap(([name, one]) =>
  one instanceof z.ZodType ? [[name, one] as const] : [],
);

function resolve($ref: string): unknown {
  return $ref
    .slice(2)
    .split('/')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
}

function* refsIn(node: unknown): Generator<string> {
  if (typeof node !== 'object' || node === null) return;
  for (const [key, value] of Object.entries(node))
    if (key === '$ref' && typeof value === 'string') yield value;
    else yield* refsIn(value);
}

describe('the AsyncAPI document', () => {
  it('is valid AsyncAPI 3.0 by the reference parser', () => {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [join(__dirname, 'validate-asyncapi.cjs')],
      { input: JSON.stringify(document), encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const result = JSON.parse(stdout) as {
      channels: string[] | null;
      diagnostics: { severity: number; message: string }[];
    };
    const grave = result.diagnostics.filter(({ severity }) => [ERROR, WARNING].includes(severity));
    expect(grave).toEqual([]);
    expect(result.channels).toHaveLength(BROADCASTS.length + EP_REQUESTS.length + 1);
  });

  it.each(schemas.map(([name]) => name))('holds the schema %s', (name) => {
    const schema = document.components.schemas[name];
    expect(schema).toBeDefined();
    expect(Object.keys(schema!).length).toBeGreaterThan(0);
  });

  it('holds no schema that the code does not have', () => {
    expect(Object.keys(document.components.schemas).sort()).toEqual(
      schemas.map(([name]) => name).sort(),
    );
  });

  it('shows every message that names its type, on a channel', () => {
    const named = schemas.filter(([, schema]) => messageTypeOf(schema) !== undefined);
    const onChannels = Object.values(document.channels).flatMap((one) => Object.keys(one.messages));
    expect(named.length).toBeGreaterThan(10);
    for (const [name] of named) {
      expect(document.components.messages[name]?.payload.$ref).toBe(`#/components/schemas/${name}`);
      expect(onChannels).toContain(name);
    }
  });

  it('gives each signed message the JWS type that its payload names', () => {
    const leaseTypes = ['lease', 'lease-refused'];
    for (const [name, message] of Object.entries(document.components.messages)) {
      if (message['x-jws'] === undefined) continue;
      const type = String(document.components.schemas[name]?.properties?.['type']?.const);
      const expected = leaseTypes.includes(type) ? messages.LEASE_TYP : messages.typOf(type);
      expect(message['x-jws'].typ).toBe(expected);
    }
  });

  it('addresses channels as the wire does', () => {
    const fill = (address: string) =>
      address.replace('{tenant}', 'ten_1').replace('{ep}', 'enf_1').replace('{reply}', 'abc');
    for (const kind of BROADCASTS)
      expect(fill(document.channels[kind]!.address)).toBe(broadcastSubject(kind, 'ten_1'));
    for (const kind of EP_REQUESTS)
      expect(fill(document.channels[kind]!.address)).toBe(requestSubject(kind, 'ten_1', 'enf_1'));
    expect(fill(document.channels['inbox']!.address)).toBe(`${inboxPrefix('ten_1', 'enf_1')}.abc`);
  });

  it('has no reference that leads nowhere', () => {
    const refs = [...refsIn(document)];
    expect(refs.length).toBeGreaterThan(30);
    for (const one of refs) expect({ [one]: resolve(one) }).not.toEqual({ [one]: undefined });
  });

  it('does not forbid fields that a later version may add', () => {
    expect(JSON.stringify(document.components.schemas['Entry'])).not.toContain(
      '"additionalProperties":false',
    );
  });

  it('is plain JSON and comes out the same each time', () => {
    expect(JSON.parse(JSON.stringify(asyncApiDocument()))).toEqual(asyncApiDocument());
  });
});
