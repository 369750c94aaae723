import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { acceptedIssuer, type AcceptedIssuer } from './config/accepted-issuer';
import { variablesIn, withVariables } from './config/environment-values';
import { WrittenSidecarFile } from './config/file-schema';
import { notServed, type Fault } from './config/not-served';
import type { Upstream } from './config/upstream';
import { upstreamOf } from './config/upstream-of';
import { HEADER_VALUE, HEADER_VALUE_FAULT } from './config/upstream-schema';
import { lineOf, named } from './config/yaml-place';
import { SidecarError } from './sidecar-error';

export { EP_NAME } from './config/file-schema';
export type { AcceptedIssuer } from './config/accepted-issuer';
export * from './config/upstream';

/** What a `sidecar.yaml` says; a key that is not written is not there. */
export interface SidecarFile {
  readonly name?: string;
  readonly mode?: 'strict' | 'best_effort';
  readonly records?: CallRecording;
  /** Whose tokens are taken beside the control plane's. */
  readonly accept?: readonly AcceptedIssuer[];
  readonly upstreams?: readonly Upstream[];
}

/** What call records keep of arguments. */
export interface CallRecording {
  /** `hash`: their digest alone; `redacted`: themselves, without what stands under a key of `redact`. */
  readonly arguments: 'hash' | 'redacted';
  readonly redact: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * @param env where `${NAME}` in a credential comes from; without one such places are left as they are written
 * @throws SidecarError, one line per fault, each `file:line: what is wrong`.
 */
export function readSidecarFile(path: string, env?: Environment): SidecarFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SidecarError(`${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
  return parseSidecarFile(text, path, env);
}

/** @throws SidecarError as `readSidecarFile`. */
export function parseSidecarFile(text: string, path: string, env?: Environment): SidecarFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const fault = document.errors[0];
  if (fault !== undefined) {
    throw new SidecarError(`${path}:${lines.linePos(fault.pos[0]).line}: ${fault.message}`);
  }
  const read = readWritten(document.toJS() ?? {}, env);
  if ('file' in read) return read.file;
  throw new SidecarError(
    read.faults
      .map(({ path: at, says }) => `${path}:${lineOf(document, at, lines)}: ${named(at)} ${says}`)
      .join('\n'),
  );
}

function readWritten(
  written: unknown,
  env: Environment | undefined,
): { readonly file: SidecarFile } | { readonly faults: readonly Fault[] } {
  const parsed = WrittenSidecarFile.safeParse(written);
  if (!parsed.success) {
    const faults = parsed.error.issues.flatMap((issue): Fault[] => {
      if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, says: issue.message }];
      return issue.keys.map((key) => ({ path: [...issue.path, key], says: 'is not a known key' }));
    });
    return { faults };
  }
  const faults = [...notServed(parsed.data), ...(env ? credentialFaults(parsed.data, env) : [])];
  return faults.length > 0 ? { faults } : { file: fileOf(parsed.data, env) };
}

function credentialFaults({ upstreams = [] }: WrittenSidecarFile, env: Environment): Fault[] {
  return upstreams.flatMap((upstream, at): Fault[] => {
    const credential = 'credential' in upstream ? upstream.credential : undefined;
    if (credential === undefined) return [];
    const path = ['upstreams', at, 'credential', 'value'];
    const unset = variablesIn(credential.value).filter((name) => (env[name] ?? '') === '');
    if (unset.length > 0) return [{ path, says: `names ${unset.join(', ')}, which is not set` }];
    const fits = HEADER_VALUE.test(withVariables(credential.value, env));
    return fits ? [] : [{ path, says: HEADER_VALUE_FAULT }];
  });
}

function fileOf(written: WrittenSidecarFile, env: Environment | undefined): SidecarFile {
  const { name, mode, records, accept, upstreams } = written;
  return {
    ...(name !== undefined && { name }),
    ...(mode !== undefined && { mode }),
    ...(records && {
      records: { arguments: records.arguments ?? 'hash', redact: records.redact ?? [] },
    }),
    ...(accept && { accept: accept.map(acceptedIssuer) }),
    ...(upstreams && {
      upstreams: upstreams.map(upstreamOf).map((upstream) => withCredential(upstream, env)),
    }),
  };
}

function withCredential(upstream: Upstream, env: Environment | undefined): Upstream {
  const { credential } = upstream;
  if (credential === undefined || env === undefined) return upstream;
  const value = withVariables(credential.value, env);
  return { ...upstream, credential: { ...credential, value } };
}
