import { ProblemError } from '@sever/protocol';
import { hasDuplicateKey } from './duplicate-keys';

/**
 * JSON that every reader reads alike: in UTF-8, and no object names a key twice.
 *
 * @throws ProblemError `bad_request`
 */
export function parseStrictJson(body: Uint8Array): unknown {
  const { text, json } = parse(body);
  if (hasDuplicateKey(text)) {
    throw new ProblemError('bad_request', 'A key stands twice in one object');
  }
  return json;
}

function parse(body: Uint8Array): { text: string; json: unknown } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
    return { text, json: JSON.parse(text) as unknown };
  } catch (cause) {
    throw new ProblemError('bad_request', 'The body is not JSON in UTF-8', {}, { cause });
  }
}
