import { ProblemError } from '@sever/protocol';
import { holdsToken, readTarget } from '../../src/http/request-target';

describe('the target of a request', () => {
  it.each([
    ['/api/', '/', ''],
    ['/api/v1/messages', '/v1/messages', ''],
    ['/api/v1/messages/?beta=true', '/v1/messages/', '?beta=true'],
    ['/api/model/anthropic.claude%3A0/invoke', '/model/anthropic.claude%3A0/invoke', ''],
    ['/api/a%20b/%E2%82%AC', '/a%20b/%E2%82%AC', ''],
    ['/api/.well-known/..x/x..', '/.well-known/..x/x..', ''],
    ["/api/x?q='%2e%2e/..//;a", '/x', "?q='%2e%2e/..//;a"],
  ])('%s is read byte for byte', (url, path, query) => {
    expect(readTarget(url, 'api')).toEqual({ path, query });
  });

  const tricks: [what: string, url: string, becomes?: string][] = [
    ['a segment of two dots', '/api/open/../secret', '/secret'],
    ['two dots at the end', '/api/open/..', '/'],
    ['a segment of one dot', '/api/./secret', '/secret'],
    ['more dots', '/api/open/.../secret'],
    ['an empty segment', '/api//secret'],
    ['an empty segment in the midst', '/api/open//secret'],
    ['encoded dots', '/api/open/%2E%2E/secret', '/secret'],
    ['half-encoded dots', '/api/open/.%2E/secret', '/secret'],
    ['encoded dots in lower case', '/api/open/%2e%2e/secret', '/secret'],
    ['an encoded slash', '/api/open%2Fsecret'],
    ['an encoded slash in lower case', '/api/open%2fsecret'],
    ['an encoded backslash', '/api/open%5Csecret'],
    ['a backslash', '/api/open\\..\\secret', '/secret'],
    ['an encoding of an encoding', '/api/open/%252E%252E/secret'],
    ['parameters of a segment', '/api/open/..;/secret'],
    ['parameters of another', '/api/secret;jsessionid=1'],
    ['encoded parameters', '/api/open/..%3B/secret'],
    ['an encoded letter', '/api/%73ecret'],
    ['an encoded question mark', '/api/secret%3Fopen'],
    ['an encoded number sign', '/api/secret%23open'],
    ['a number sign', '/api/secret#open', '/secret'],
    ['an encoded NUL', '/api/secret%00.txt'],
    ['an encoded line end', '/api/secret%0D%0AHost:x'],
    ['an overlong slash', '/api/open%C0%AFsecret'],
    ['a full-width slash', '/api/open%EF%BC%8Fsecret'],
    ['full-width dots', '/api/open/%EF%BC%8E%EF%BC%8E/secret'],
    ['a two-dot leader', '/api/open/%E2%80%A5/secret'],
    ['half an encoding', '/api/secret%2'],
    ['an encoding that is none', '/api/secret%zz'],
    ['a control character', '/api/secret\u0001'],
    ['a tab, which URL parsers drop', '/api/.\t./secret', '/secret'],
    ['bytes beyond ASCII', '/api/secr\u00e9t'],
    ['a quote', '/api/"secret"'],
    ['a space in the query', '/api/x?a b'],
    ['a number sign in the query', '/api/x?a#b'],
  ];

  it.each(tricks)('with %s is refused: %s', (_what, url) => {
    expect(() => readTarget(url, 'api')).toThrow(ProblemError);
    expect(() => readTarget(url, 'api')).toThrow(
      expect.objectContaining({ code: 'bad_request' }) as Error,
    );
  });

  it.each(tricks.filter(([, , becomes]) => becomes !== undefined))(
    'with %s would be another path to a server that puts it in order',
    (_what, url, becomes) => {
      const inOrder = new URL(url.slice('/api'.length), 'http://upstream').pathname;
      expect(inOrder).toBe(becomes);
    },
  );

  it('has an end', () => {
    const tooLong = expect.objectContaining({ code: 'uri_too_long' }) as Error;
    expect(readTarget(`/api/${'a'.repeat(2_047)}`, 'api').path).toHaveLength(2_048);
    expect(() => readTarget(`/api/${'a'.repeat(2_048)}`, 'api')).toThrow(tooLong);
    expect(() => readTarget(`/api/a?${'a'.repeat(8_192)}`, 'api')).toThrow(tooLong);
  });

  it('is not the name alone', () => {
    expect(() => readTarget('/api', 'api')).toThrow(
      expect.objectContaining({ code: 'not_found' }) as Error,
    );
  });

  it('holds a token however it is encoded', () => {
    expect(holdsToken('/api/x?key=abc.def', 'abc.def')).toBe(true);
    expect(holdsToken('/api/x?key=abc%2edef', 'abc.def')).toBe(true);
    expect(holdsToken('/api/x?key=abc.de', 'abc.def')).toBe(false);
  });
});
