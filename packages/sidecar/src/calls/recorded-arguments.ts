import { createHash } from 'node:crypto';
import type { CallRecording } from '../sidecar-file';
import { canonicalJson } from './canonical-json';

const REDACTED = '[redacted]';

/** What a record keeps of the arguments of a call. */
export interface RecordedArguments {
  readonly argumentsHash: string;
  /** JSON text. */
  readonly arguments?: string;
}

/** @param value as JSON.parse gives it */
export function recordedArguments(value: unknown, recording: CallRecording): RecordedArguments {
  const argumentsHash = createHash('sha256').update(canonicalJson(value)).digest('base64url');
  if (recording.arguments === 'hash') return { argumentsHash };
  const hidden = new Set(recording.redact.map((key) => key.toLowerCase()));
  return { argumentsHash, arguments: canonicalJson(redacted(value, hidden)) };
}

/** At any depth, and however the key is spelled: an agent chooses the spelling. */
function redacted(value: unknown, hidden: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((one) => redacted(one, hidden));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      hidden.has(key.toLowerCase()) ? REDACTED : redacted(member, hidden),
    ]),
  );
}
