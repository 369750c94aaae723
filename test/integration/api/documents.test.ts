import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncApiDocument, Kill, ProblemBody, SpawnReply } from '@sever/protocol';
import { z } from 'zod';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

interface Answer {
  description?: string;
  content?: Record<string, { schema?: { $ref?: string } }>;
}

interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: unknown;
  responses: Record<string, Answer>;
  security?: unknown[];
}

interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, { properties?: Record<string, unknown>; required?: string[] }>;
  };
}

const SCHEMA_TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'];

describe('the documents that a control plane serves', () => {
  let plane: TestControlPlane;
  let openApi: OpenApi;

  const operations = (): [string, Operation][] =>
    Object.entries(openApi.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    );

  beforeAll(async () => {
    plane = await startTestControlPlane();
    openApi = (await plane.call('GET', '/openapi.json', { key: '' })).body as unknown as OpenApi;
  });
  afterAll(() => plane.close());

  it('describe every route of the API, and no request without its schema', () => {
    expect(operations().map(([route]) => route)).toEqual(
      expect.arrayContaining([
        'POST /v1/agents',
        'GET /v1/agents/{id}/tree',
        'POST /v1/agents/{id}/credentials',
        'POST /v1/kills',
        'POST /v1/agents/{id}/kill',
        'GET /v1/kills/{id}/receipts',
        'POST /v1/enforcement-points',
        'DELETE /v1/enforcement-points/{id}',
        'POST /v1/api-keys',
      ]),
    );
    for (const path of ['/v1/agents', '/v1/kills', '/v1/enforcement-points', '/v1/api-keys'])
      expect(openApi.paths[path]?.post?.requestBody).toBeDefined();
  });

  it('keep to OpenAPI 3.1: every reference leads somewhere, and nothing is left of 3.0', () => {
    expect(openApi.openapi).toBe('3.1.0');
    const nodes = everything(openApi);
    const references = nodes.flatMap(({ $ref }) => (typeof $ref === 'string' ? [$ref] : []));
    expect(references.length).toBeGreaterThan(20);
    expect([...new Set(references)].filter((to) => lookUp(openApi, to) === undefined)).toEqual([]);
    for (const schema of everything(openApi.components.schemas)) {
      expect(Object.keys(schema)).not.toContain('nullable');
      expect(typeof schema.exclusiveMinimum).not.toBe('boolean');
      expect(typeof schema.exclusiveMaximum).not.toBe('boolean');
      if (typeof schema.type === 'string') expect(SCHEMA_TYPES).toContain(schema.type);
    }
    expect(JSON.stringify(openApi)).not.toContain('x-nestjs');
    const ids = operations().map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('name every parameter of a path, and give each parameter a schema', () => {
    for (const [route, { parameters }] of operations()) {
      const inPath = parameters.filter((one) => one.in === 'path');
      expect([route, ...inPath.map(({ name }) => `{${name}}`)]).toEqual([
        route,
        ...(route.match(/\{\w+\}/g) ?? []),
      ]);
      expect(inPath.every(({ required }) => required)).toBe(true);
      for (const { schema } of parameters) expect(schema).toBeInstanceOf(Object);
    }
  });

  it('say of every operation how it succeeds and, unless it is public, how it refuses', () => {
    const refusals = (answers: Record<string, Answer>) =>
      Object.keys(answers).filter((status) => !status.startsWith('2'));
    for (const [route, { responses, requestBody, security }] of operations()) {
      const told = Object.keys(responses);
      expect([route, told.some((status) => /^2\d\d$/.test(status))]).toEqual([route, true]);
      for (const { description } of Object.values(responses)) expect(description).toBeTruthy();
      if (!route.includes(' /v1/')) {
        expect([route, security, refusals(responses)]).toEqual([route, [], []]);
        continue;
      }
      expect(security).toBeUndefined();
      expect(told).toEqual(expect.arrayContaining(['401', '403', '503']));
      if (requestBody) expect([route, told]).toEqual([route, expect.arrayContaining(['400'])]);
      if (route.includes('{')) expect(told).toContain('404');
      for (const status of refusals(responses))
        expect(responses[status]?.content).toEqual({
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        });
    }
    const own = z.toJSONSchema(ProblemBody, { io: 'output' }) as { required: string[] };
    expect(openApi.components.schemas.Problem?.required).toEqual(own.required);
  });

  it.each([
    ['POST /v1/kills', ['200', '202'], 'Kill'],
    ['POST /v1/agents/{id}/kill', ['200', '202'], 'Kill'],
    ['DELETE /v1/enforcement-points/{id}', ['200', '202'], 'Kill'],
    ['POST /v1/enforcement-points', ['200', '201'], 'EnrolReply'],
    ['GET /v1/kills', ['200'], 'KillList'],
  ])('tell every success of %s', (route, statuses, schema) => {
    const { responses } = Object.fromEntries(operations())[route] as Operation;
    expect(Object.keys(responses).filter((status) => status < '300')).toEqual(statuses);
    for (const status of statuses)
      expect(responses[status]?.content?.['application/json']?.schema?.$ref).toMatch(
        new RegExp(`/${schema}Dto(_Output)?$`),
      );
  });

  it('tell what may come with an order to kill, and with nothing else', () => {
    for (const [route, { parameters }] of operations()) {
      const others = parameters.filter((one) => one.in !== 'path').map((one) => one.name);
      if (/^POST .*\/(kills?|suspend)$/.test(route))
        expect(others).toEqual(['wait', 'Idempotency-Key']);
      else expect(others).not.toContain('Idempotency-Key');
    }
  });

  it('say of requests and replies what the schemas that validate them say', () => {
    const schemas = openApi.components.schemas;
    const find = (name: string) =>
      schemas[name] ??
      schemas[`${name}_Output`] ??
      Object.entries(schemas).find(([key]) => key.startsWith(name))?.[1];
    for (const [name, schema] of [
      ['KillDto', Kill],
      ['SpawnReplyDto', SpawnReply],
    ] as const) {
      const own = z.toJSONSchema(schema, { io: 'output' }) as {
        properties: object;
        required: string[];
      };
      expect(Object.keys(find(name)?.properties ?? {}).sort()).toEqual(
        Object.keys(own.properties).sort(),
      );
      expect([...(find(name)?.required ?? [])].sort()).toEqual([...own.required].sort());
    }
  });

  it('include the messages on NATS, and keys for whoever verifies tokens', async () => {
    const asyncApi = await plane.call('GET', '/asyncapi.json', { key: '' });
    expect(asyncApi.body).toEqual(JSON.parse(JSON.stringify(asyncApiDocument())));
    const jwks = await plane.call('GET', '/.well-known/jwks.json', { key: '' });
    // The live one and the one that takes its place.
    const key = expect.objectContaining({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA' }) as object;
    expect(jwks.body.keys).toEqual([key, key]);
    expect(JSON.stringify(jwks.body)).not.toContain('"d"');
    expect((await plane.call('GET', '/docs', { key: '' })).status).toBe(200);
  });

  it('serve the console with everything that it loads', async () => {
    const page = await plane.call('GET', '/console', { key: '' });
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const loaded = [...page.text.matchAll(/(?:src|href)="(\/?[^":]+\.(?:js|css))"/g)].map(
      ([, path]) => path as string,
    );
    expect(loaded.length).toBeGreaterThanOrEqual(3);
    for (const path of loaded)
      expect([path, (await plane.call('GET', path, { key: '' })).status]).toEqual([path, 200]);
  });

  it('list in docs/settings.md every setting that the control plane reads', () => {
    const read = (path: string): string => readFileSync(join(__dirname, '../../..', path), 'utf8');
    const names = new Set(read('src/config/config.ts').match(/\bSEVER_[A-Z_]+\b/g));
    const listed = read('docs/settings.md');
    expect([...names].filter((name) => !listed.includes(name))).toEqual([]);
  });
});

/** Every object within a document. */
function everything(node: unknown): Record<string, unknown>[] {
  if (Array.isArray(node)) return node.flatMap(everything);
  if (typeof node !== 'object' || node === null) return [];
  return [node as Record<string, unknown>, ...Object.values(node).flatMap(everything)];
}

/** What a reference within the document leads to. */
function lookUp(document: unknown, reference: string): unknown {
  return reference
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document);
}
