import { ProblemError } from '../problems';

export type Params = Readonly<Record<string, unknown>> | undefined;

export function bad(detail: string): ProblemError {
  return new ProblemError('bad_request', detail);
}

/** A text that must be there. @throws ProblemError `bad_request` */
export function textIn(params: Params, key: string, of: string): string {
  const value = onlyValue(params, key);
  if (typeof value === 'string' && value !== '') return value;
  throw bad(`${of} must name one ${key}`);
}

/** An object that must be there. @throws ProblemError `bad_request` */
export function objectIn(params: Params, key: string, of: string): Record<string, unknown> {
  const value = onlyValue(params, key);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw bad(`${of} must hold one ${key}`);
}

/** Texts that may be there, at most so many. @throws ProblemError `bad_request` */
export function namesIn(params: Params, key: string, most: number): readonly string[] {
  const value = onlyValue(params, key) ?? [];
  if (!Array.isArray(value) || value.some((one) => typeof one !== 'string' || one === '')) {
    throw bad(`${key} is a list of texts`);
  }
  if (value.length > most) throw bad(`${key} names at most ${most}`);
  return value as string[];
}

/** The value of the key, if no other spelling stands beside it that a forgiving parser takes for the same key. */
function onlyValue(params: Params, key: string): unknown {
  const spellings = Object.keys(params ?? {}).filter((other) => folded(other) === folded(key));
  if (spellings.length > 1 || (spellings.length === 1 && spellings[0] !== key)) {
    throw bad(`${key} stands in another spelling, or twice`);
  }
  return params?.[key];
}

/** Both ways, since some letters have only one of the two in common with the plain one (ſ, K). */
function folded(key: string): string {
  return key.toLowerCase().toUpperCase();
}
