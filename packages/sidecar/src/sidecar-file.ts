import { readFileSync } from 'node:fs';
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { SidecarError } from './sidecar-error';

/** Kinds of upstream that this version serves. */
export const UPSTREAM_KINDS = ['mcp'] as const;
export const EP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Paths of the sidecar itself: an upstream of that name would shadow them. */
const RESERVED = ['check', 'halt', 'state', 'healthz', 'readyz', 'metrics', 'ext-authz'];

export interface Upstream {
  readonly name: string;
  readonly kind: (typeof UPSTREAM_KINDS)[number];
  /** Where calls to `/<name>` go, path included. */
  readonly url: string;
}

const UpstreamUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url === undefined || (url.username === '' && url.password === '' && url.hash === '');
  }, 'must hold neither a user name nor a fragment');

const SidecarFile = z.strictObject({
  name: z.string().regex(EP_NAME, `must match ${EP_NAME.source}`).optional(),
  mode: z.enum(['strict', 'best_effort'], 'must be strict or best_effort').optional(),
  upstreams: z
    .array(
      z.strictObject({
        name: z
          .string()
          .regex(/^[a-z0-9-]{1,32}$/, 'must be 1 to 32 of a-z, 0-9 and -')
          .refine((name) => !RESERVED.includes(name), {
            error: `is a path of the sidecar itself; choose another name than ${RESERVED.join(', ')}`,
          }),
        kind: z.enum(UPSTREAM_KINDS, {
          error: `is not a kind that this version serves; it serves: ${UPSTREAM_KINDS.join(', ')}`,
        }),
        url: UpstreamUrl,
      }),
    )
    .superRefine((upstreams, context) => {
      upstreams.forEach(({ name }, at) => {
        if (upstreams.findIndex((other) => other.name === name) < at) {
          context.addIssue({
            code: 'custom',
            path: [at, 'name'],
            message: `is taken by an upstream above: ${name}`,
          });
        }
      });
    })
    .optional(),
});
export type SidecarFile = z.infer<typeof SidecarFile>;

/** @throws SidecarError, one line per fault, each `file:line: what is wrong`. */
export function readSidecarFile(path: string): SidecarFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SidecarError(`${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
  return parseSidecarFile(text, path);
}

/** @throws SidecarError as `readSidecarFile`. */
export function parseSidecarFile(text: string, path: string): SidecarFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const fault = document.errors[0];
  if (fault !== undefined) {
    throw new SidecarError(`${path}:${lines.linePos(fault.pos[0]).line}: ${fault.message}`);
  }
  const parsed = SidecarFile.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  throw new SidecarError(
    parsed.error.issues
      .flatMap((issue) => {
        if (issue.code !== 'unrecognized_keys') return [{ at: issue.path, says: issue.message }];
        return issue.keys.map((key) => ({ at: [...issue.path, key], says: 'is not a known key' }));
      })
      .map(({ at, says }) => `${path}:${lineOf(document, at, lines)}: ${named(at)} ${says}`)
      .join('\n'),
  );
}

/** Line of the key or item at the path, or of the nearest thing around it that the file does hold. */
function lineOf(document: Document, path: readonly PropertyKey[], lines: LineCounter): number {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const offset = offsetOf(document, path.slice(0, depth));
    if (offset !== undefined) return lines.linePos(offset).line;
  }
  return 1;
}

function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  const parent = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isPair(item) && keyText(item.key) === path.at(-1));
    if (isNode(pair?.key)) return pair.key.range?.[0];
  }
  const node = document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

function keyText(key: unknown): unknown {
  return isScalar(key) ? key.value : key;
}

function named(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file';
  return path
    .map((part, at) =>
      typeof part === 'number' ? `[${part}]` : `${at === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
}
