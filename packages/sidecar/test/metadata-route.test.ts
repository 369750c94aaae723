import { discoverOAuthProtectedResourceMetadata } from '@modelcontextprotocol/sdk/client/auth.js';
import { sidecarBefore, type SidecarUnderTest } from './support/sidecar-under-test';

describe('protected-resource metadata', () => {
  let under: SidecarUnderTest;
  const path = '/.well-known/oauth-protected-resource';

  beforeAll(async () => {
    under = await sidecarBefore({ tools: 'http://127.0.0.1:9/mcp', files: 'http://127.0.0.1:9/' });
  });
  afterAll(async () => under.sidecar.close());

  it("is what the SDK's client finds for an upstream, without a token", async () => {
    expect(await discoverOAuthProtectedResourceMetadata(`${under.url}/tools`)).toEqual({
      resource: `${under.url}/tools`,
      authorization_servers: ['http://control-plane.test'],
      bearer_methods_supported: ['header'],
      scopes_supported: ['tool:tools/*'],
    });
  });

  it('names everything for the sidecar as a whole, and nothing for what is not served', async () => {
    expect(await (await fetch(`${under.url}${path}`)).json()).toMatchObject({
      resource: under.url,
      scopes_supported: ['tool:tools/*', 'tool:files/*'],
    });
    expect((await fetch(`${under.url}${path}/unknown`)).status).toBe(404);
  });

  it('has the scheme by which a proxy before it was reached', async () => {
    const headers = { 'x-forwarded-proto': 'https' };
    const document = await (await fetch(`${under.url}${path}/tools`, { headers })).json();
    expect(document).toMatchObject({ resource: `${under.url}/tools`.replace('http:', 'https:') });
  });
});
