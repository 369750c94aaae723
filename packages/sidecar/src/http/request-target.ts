import { ProblemError } from '@sever/protocol';

/** What a request asks of an upstream, byte for byte as it was sent and as it will be sent on. */
export interface RequestTarget {
  /** From the slash after the upstream's name on. */
  readonly path: string;
  /** With its question mark; empty without one. */
  readonly query: string;
}

export const MAX_PATH = 2_048;
const MAX_QUERY = 8_192;

/** What a path is made of (RFC 3986 §3.3), save `;`: servers disagree on whether parameters belong to a segment. */
const PATH = /^(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-F]{2})+$/;
const QUERY = /^[\x21-\x22\x24-\x7e]*$/;
/** Characters of which some server makes another path once it has decoded them, and control characters. */
// eslint-disable-next-line no-control-regex
const HARMFUL_ENCODED = /[\x00-\x1f\x7f/\\%;?#]/;
/** Never in need of an encoding (RFC 3986 §2.3): encoded they only spell the same path differently. */
const UNRESERVED = /[A-Za-z0-9\-._~]/;

/**
 * Reads the target of a request to `/<name>/…`.
 *
 * Whatever two servers could read as two different paths is refused rather than put in order: then what was decided
 * about is what the upstream gets.
 *
 * @param url as it stood in the request line
 * @throws ProblemError `bad_request`, `uri_too_long`, `not_found` for `/<name>` alone
 */
export function readTarget(url: string, name: string): RequestTarget {
  const rest = url.slice(name.length + 1);
  const mark = rest.indexOf('?');
  const path = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? '' : rest.slice(mark);
  if (path === '') throw new ProblemError('not_found', `This upstream is served below /${name}/`);
  if (path.length > MAX_PATH) throw tooLong(`A path has at most ${MAX_PATH} characters`);
  if (query.length > MAX_QUERY) throw tooLong(`A query has at most ${MAX_QUERY} characters`);
  const fault = faultOf(path);
  if (fault !== undefined) throw new ProblemError('bad_request', `The path ${fault}`);
  if (!QUERY.test(query)) {
    throw new ProblemError('bad_request', 'The query holds what belongs there percent-encoded');
  }
  return { path, query };
}

/** Does the text hold the token, as it is or percent-encoded? */
export function holdsToken(text: string, token: string): boolean {
  return text.includes(token) || decodedOnce(text).includes(token);
}

function faultOf(path: string): string | undefined {
  if (!PATH.test(path)) {
    return 'holds a character, or an encoding in lower case, that servers read differently';
  }
  const segments = path.slice(1).split('/');
  if (segments.slice(0, -1).includes('')) return 'holds an empty segment';
  if (segments.some((segment) => /^\.+$/.test(segment))) return 'holds a segment of dots';
  return encodingFault(path);
}

function encodingFault(path: string): string | undefined {
  if (!path.includes('%')) return undefined;
  for (const [, hex] of path.matchAll(/%([0-7][0-9A-F])/g)) {
    const character = String.fromCharCode(parseInt(hex ?? '', 16));
    if (HARMFUL_ENCODED.test(character)) return `holds %${hex}, which no path may hide`;
    if (UNRESERVED.test(character)) return `holds %${hex}, which needs no encoding`;
  }
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return 'encodes bytes that are no UTF-8';
  }
  // Full-width slashes and dots: some servers fold them into the plain ones.
  const shape = (text: string): string => text.replace(/[^./\\%;?#]/g, '');
  return shape(decoded.normalize('NFKC')) === shape(decoded)
    ? undefined
    : 'encodes a look-alike of a dot or a slash';
}

function decodedOnce(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

function tooLong(detail: string): ProblemError {
  return new ProblemError('uri_too_long', detail);
}
