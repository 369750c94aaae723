/** The longest address of a resource. Beyond what a scope can say, only scopes that end in `*` cover it. */
export const MAX_URI_LENGTH = 2_048;

/** RFC 3986 §2.3: what is never percent-encoded in the one spelling that two readers agree on. */
const ENCODED_UNRESERVED = /%(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|3[0-9]|2d|2e|5f|7e)/i;
const DOT_SEGMENT = /(?:^|[/\\])\.{1,2}(?:[/\\?#]|$)/;
const CONTROL_OR_SPACE = /[\s\p{Cc}\p{Cf}]/u;
/** As often as a careless reader could decode it. */
const DECODINGS = 4;

/**
 * Why this address could be read as another one than it says, and so slip out of the scopes that are held, or past a
 * suspension; `undefined` when it is plain.
 */
export function uriFault(uri: string): string | undefined {
  if (uri.length > MAX_URI_LENGTH) return `has more than ${MAX_URI_LENGTH} characters`;
  if (CONTROL_OR_SPACE.test(uri)) return 'holds spaces or control characters';
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(uri)?.[1];
  if (scheme === undefined) return 'has no scheme';
  if (scheme !== scheme.toLowerCase()) return 'has a scheme in capitals';
  if (ENCODED_UNRESERVED.test(uri)) return 'encodes characters that need no encoding';
  let text = uri.slice(scheme.length + 1);
  for (let decoded = 0; decoded < DECODINGS; decoded += 1) {
    if (DOT_SEGMENT.test(text)) return 'holds . or .. as a step of its path';
    text = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(parseInt(hex, 16)),
    );
  }
  return undefined;
}
