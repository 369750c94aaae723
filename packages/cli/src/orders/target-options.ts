import type { Command } from 'commander';
import { ID_PREFIXES, isId, type IdKind, type SubjectAsked } from '@sever/protocol';
import { parseTarget } from '../parse-target';
import { usageError } from '../usage-error';

/** Whom an order names, beside the targets that need no option. */
export interface TargetOptions {
  readonly task?: string[];
  readonly label?: string[];
  readonly initiator?: string[];
  readonly issuer?: string;
  readonly service?: string[];
  readonly tenant?: string[];
  readonly ref?: string[];
  readonly trace?: string[];
  readonly tool?: string[];
  readonly upstream?: string[];
  /** Always `-`: see {@link refuseTypedToken}. */
  readonly token?: string;
}

/** Options that are a kind of subject, and the form of their value. */
const KINDS = ['task', 'label', 'initiator', 'service', 'tenant', 'ref', 'trace'] as const;
const SUSPENDED_KINDS = ['tool', 'upstream'] as const;
type Kind = (typeof KINDS)[number] | (typeof SUSPENDED_KINDS)[number];

const ID_KINDS: Partial<Record<Kind, IdKind>> = {
  task: 'task',
  service: 'principal',
  tenant: 'tenant',
};

export function addTargetOptions(command: Command, action: 'kill' | 'suspend'): void {
  command
    .option('--task <id>', 'tsk_…: all that work on this task', collect)
    .option('--label <k:v>', 'all that carry this label', collect)
    .option('--initiator <who>', 'alice@example.com or ini_…: all that act for this human', collect)
    .option('--issuer <url>', 'whose identity provider vouches for the initiators named')
    .option('--service <id>', 'prn_…: all that this service started', collect)
    .option('--tenant <id>', 'ten_…: everything of this tenant', collect)
    .option('--ref <k:v>', 'the agents that carry this ref, with all below them', collect)
    .option('--trace <id>', 'the agents that were spawned in this trace', collect)
    .option('--token <->', 'the credential whose token comes on standard input');
  if (action === 'suspend')
    command
      .option('--tool <upstream/name>', 'this tool, for everybody', collect)
      .option('--upstream <name>', 'all tools of this upstream, for everybody', collect);
}

/**
 * Everything that the command line names, in the order of the help.
 *
 * @param token what came on standard input, when `--token -` was given
 * @throws CommanderError when something names nothing, or nothing is named
 */
export function subjectsOf(
  targets: readonly string[],
  options: TargetOptions,
  token: string | undefined,
): SubjectAsked[] {
  const named: SubjectAsked[] = targets.map((target) => {
    const subject = parseTarget(target);
    if (typeof subject === 'string') throw usageError(subject);
    return subject;
  });
  for (const kind of [...KINDS, ...SUSPENDED_KINDS])
    for (const id of options[kind] ?? []) named.push({ kind, id: checked(kind, id) });
  if (token !== undefined) named.push({ kind: 'token', token: tokenIn(token) });
  if (named.length === 0)
    throw usageError('name what to stop: agt_…, alice@example.com, --task, --label, --token - …');
  return options.issuer === undefined ? named : issuedBy(options.issuer, named);
}

/** What was typed is not repeated: it may be a token, and is in the shell's history already. @throws CommanderError */
export function refuseTypedToken({ token }: TargetOptions): void {
  if (token !== undefined && token !== '-')
    throw usageError('write --token - and give the token on standard input');
}

/** The same targets as words of a command line; a token stays on standard input. */
export function targetWords(targets: readonly string[], options: TargetOptions): string[] {
  const words = [...targets];
  for (const kind of [...KINDS, ...SUSPENDED_KINDS])
    for (const id of options[kind] ?? []) words.push(`--${kind}`, id);
  if (options.issuer !== undefined) words.push('--issuer', options.issuer);
  if (options.token !== undefined) words.push('--token', '-');
  return words;
}

function checked(kind: Kind, id: string): string {
  const idKind = ID_KINDS[kind];
  if (idKind !== undefined && !isId(idKind, id))
    throw usageError(
      `--${kind} takes an id: ${ID_PREFIXES[idKind]}_… with 26 characters after the underscore`,
    );
  if ((kind === 'label' || kind === 'ref') && !/^[^:]+:.+$/s.test(id))
    throw usageError(`--${kind} takes key:value`);
  return id;
}

function issuedBy(issuer: string, named: readonly SubjectAsked[]): SubjectAsked[] {
  let used = false;
  const vouched = named.map((subject): SubjectAsked => {
    const name = subject.kind === 'initiator' && 'id' in subject ? subject.id : undefined;
    if (typeof name !== 'string' || isId('initiator', name)) return subject;
    used = true;
    return { kind: 'initiator', subject: name, issuer };
  });
  if (!used) throw usageError('--issuer goes with a human that is named: --initiator alice');
  return vouched;
}

function tokenIn(text: string): string {
  const token = text.trim();
  if (token === '')
    throw usageError('standard input held no token: echo "$TOKEN" | sever … --token -');
  return token;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
