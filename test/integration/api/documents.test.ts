import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncApiDocument, Kill, SpawnReply } from '@sever/protocol';
import { z } from 'zod';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

interface OpenApi {
  openapi: string;
  paths: Record<
    string,
    Record<string, { requestBody?: unknown; responses: Record<string, unknown> }>
  >;
  components: {
    schemas: Record<string, { properties?: Record<string, unknown>; required?: string[] }>;
  };
}

describe('the documents that a control plane serves', () => {
  let plane: TestControlPlane;
  let openApi: OpenApi;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    openApi = (await plane.call('GET', '/openapi.json', { key: '' })).body as unknown as OpenApi;
  });
  afterAll(() => plane.close());

  it('describe every route of the API, and no request without its schema', () => {
    const routes = Object.entries(openApi.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes).toEqual(
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
    expect(jwks.body.keys).toEqual([
      expect.objectContaining({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA' }),
    ]);
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
