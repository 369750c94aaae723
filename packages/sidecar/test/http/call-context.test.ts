import { contextOf } from '../../src/http/call-context';
import type { Upstream } from '../../src/sidecar-file';

describe('what a request is decided on', () => {
  const upstream: Upstream = {
    name: 'api',
    kind: 'http',
    url: 'http://h',
    mode: 'best_effort',
    tools: [
      { match: 'POST /search*', effect: 'read' },
      { match: '/danger*', effect: 'write', mode: 'strict' },
      { match: '*', mode: 'best_effort' },
    ],
  };

  it.each([
    ['GET', '/x', 'read'],
    ['HEAD', '/x', 'read'],
    ['OPTIONS', '/x', 'read'],
    ['POST', '/x', 'write'],
    ['PROPFIND', '/x', 'write'],
    ['POST', '/search/all', 'read'],
    ['PUT', '/search/all', 'write'],
    ['GET', '/danger/zone', 'write'],
  ])('%s %s is a %s', (method, path, effect) => {
    expect(contextOf(upstream, method, path)).toMatchObject({
      scope: `http:${method}:api${path}`,
      upstream: 'api',
      effect,
    });
  });

  it('is strict where the upstream or the first rule that matches says so', () => {
    expect(contextOf(upstream, 'GET', '/danger/zone').mode).toBe('strict');
    expect(contextOf(upstream, 'GET', '/x').mode).toBeUndefined();
    expect(contextOf({ ...upstream, tools: [], mode: 'strict' }, 'GET', '/x').mode).toBe('strict');
    expect(contextOf({ ...upstream, mode: 'strict' }, 'GET', '/x').mode).toBeUndefined();
  });

  it('writes when it becomes a two-way connection', () => {
    expect(contextOf(upstream, 'GET', '/x', true).effect).toBe('write');
  });
});
