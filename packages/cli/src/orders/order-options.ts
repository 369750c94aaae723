import { InvalidArgumentError, type Command } from 'commander';
import {
  LEVELS,
  levelText,
  parseDuration,
  parseLevel,
  WAIT_DEFAULT_MS,
  type KillRequest,
  type SubjectAsked,
} from '@sever/protocol';
import { usageError } from '../usage-error';
import { addTargetOptions, targetWords, type TargetOptions } from './target-options';

/** The options of `kill` and `suspend`. */
export interface OrderOptions extends TargetOptions {
  readonly reason: string;
  readonly ticket?: string;
  readonly wait: number;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  readonly only?: boolean;
  readonly drain?: boolean;
  readonly maxAgents?: number;
  readonly ifPlan?: string;
  readonly hold?: string;
  readonly level?: string;
  readonly expires?: string;
}

export function addOrderOptions(command: Command, action: 'kill' | 'suspend'): void {
  command
    .argument('[target...]', 'agt_…, crd_…, alice@example.com or kind:id')
    .requiredOption('--reason <text>', 'why; kept in the record')
    .option('--ticket <ref>', 'ticket or incident');
  addTargetOptions(command, action);
  if (action === 'kill')
    command.option('--hold <time>', 'also refuse new roots of the same service and human', timeOf);
  else
    command
      .option('--level <level>', `how much is taken: ${LEVELS.join(', ')}`, levelOf)
      .option('--expires <time>', 'when it lifts itself: 30m, 1h, 7d', timeOf);
  command
    .option('--only', 'the named credentials, and not what was minted from them')
    .option('--drain', 'let calls that are in flight end; without it they are cut')
    .option('--max-agents <n>', 'refuse when it would stop more than so many', countOf)
    .option('--if-plan <hash>', 'refuse when it would stop anything else than --dry-run showed')
    .option('--dry-run', 'only show what would be stopped')
    .option(
      '--wait <time>',
      'how long to wait for containment: 0, 500ms, 30s, 2m',
      durationOf,
      WAIT_DEFAULT_MS,
    )
    .option('--idempotency-key <key>', 'repeat an earlier order safely under its key');
}

/** @throws CommanderError for an empty reason */
export function requestOf(
  action: 'kill' | 'suspend',
  subjects: SubjectAsked[],
  options: OrderOptions,
): KillRequest {
  if (options.reason.trim() === '') throw usageError('--reason must say why');
  const { ticket, only, drain, maxAgents, ifPlan, hold, level, expires } = options;
  const [first] = subjects;
  return {
    ...(subjects.length === 1 && first ? { subject: first } : { subjects }),
    reason: options.reason,
    ...(action === 'suspend' && { action }),
    ...(ticket !== undefined && { ticket }),
    ...(level !== undefined && { level }),
    ...(expires !== undefined && { expires_in: expires }),
    ...(hold !== undefined && { hold }),
    ...(only && { only }),
    ...(drain && { in_flight: 'drain' }),
    ...(maxAgents !== undefined && { max_agents: maxAgents }),
    ...(ifPlan !== undefined && { if_plan_hash: ifPlan }),
  };
}

/** The words that give this order, and no other than the plan says. */
export function orderWords(
  action: 'kill' | 'suspend',
  targets: readonly string[],
  options: OrderOptions,
  planHash: string,
): string[] {
  const pairs: readonly (readonly [string, string | number | undefined])[] = [
    ['--reason', options.reason],
    ['--ticket', options.ticket],
    ['--level', options.level],
    ['--expires', options.expires],
    ['--hold', options.hold],
    ['--max-agents', options.maxAgents],
    ['--if-plan', planHash],
  ];
  return [
    action,
    ...targetWords(targets, options),
    ...(options.only ? ['--only'] : []),
    ...(options.drain ? ['--drain'] : []),
    ...pairs.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)])),
    ...(options.wait === WAIT_DEFAULT_MS
      ? []
      : ['--wait', options.wait === 0 ? '0' : `${options.wait}ms`]),
  ];
}

/** A commander parser: a time in milliseconds. */
export function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('Give a time such as 0, 500ms, 30s or 2m.');
  return ms;
}

/** A time that the server reads. */
function timeOf(text: string): string {
  const ms = parseDuration(text);
  if (ms === null || ms === 0)
    throw new InvalidArgumentError('Give a time such as 30s, 15m, 24h or 7d.');
  return text;
}

function levelOf(text: string): string {
  const level = parseLevel(text);
  if (level === null) throw new InvalidArgumentError(`Give one of ${LEVELS.join(', ')}.`);
  return levelText(level);
}

function countOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
