import type { SubjectRef } from '@sever/protocol';
import { terminalText } from './terminal-text';

/** What replies say about how the words of an order were understood. */
export interface Understood {
  readonly resolved?: unknown;
  readonly not_found?: readonly SubjectRef[] | undefined;
  readonly matched?: number | undefined;
  readonly nearest?: readonly string[] | undefined;
}

/** One line for each thing named that stood for others, was not found, or matched nothing. */
export function resolvedLines({ resolved, not_found, matched, nearest }: Understood): string[] {
  return [
    ...(Array.isArray(resolved) ? resolved.map(stoodFor) : []),
    ...(not_found ?? []).map(({ kind, id }) =>
      `not found: ${terminalText(kind)} ${terminalText(id)}`.trimEnd(),
    ),
    ...(matched === 0 ? [matchedNothing(nearest)] : []),
  ];
}

/** The order stands, but whoever gave it has probably mistyped a name. */
export function matchedNothing(nearest: readonly string[] | undefined): string {
  const close = (nearest ?? []).map(terminalText).join(', ');
  return `It matched nothing: no living agent is held by it.${
    close === '' ? ' Check the name: sever find ANYTHING' : ` Did you mean: ${close}?`
  }`;
}

function stoodFor(one: unknown): string {
  const { asked, subjects } = one as { asked?: unknown; subjects?: readonly SubjectRef[] };
  const found = (subjects ?? []).map(({ kind, id }) => `${kind} ${id}`).join(', ');
  return terminalText(`${named(asked)} stood for ${found || 'nothing that is known'}`);
}

function named(asked: unknown): string {
  const { kind, id, subject } = (asked ?? {}) as {
    kind?: unknown;
    id?: unknown;
    subject?: unknown;
  };
  const name = subject ?? (typeof id === 'object' ? (id as { subject?: unknown }).subject : id);
  return [kind, name].filter((part) => typeof part === 'string').join(' ');
}
