import type { EnforcementPointInfo, EpochInfo, Kill } from '@sever/protocol';
import { killTable } from '../commands/kills';
import { moment } from './moment';
import { plural } from './plural';
import { table } from './table';
import { terminalText } from './terminal-text';

export interface Probe {
  readonly ok: boolean;
  readonly detail: string | null;
}

export interface Status {
  readonly url: string;
  readonly health: Probe;
  readonly ready: Probe;
  readonly points: readonly EnforcementPointInfo[];
  /** Recent kills that are not contained. */
  readonly open: readonly Kill[];
  /** Those of them for which waiting changes nothing. */
  readonly stuck: readonly Kill[];
  /** Newest first; without the first one, which no database went back to open. */
  readonly epochs: readonly EpochInfo[];
}

/** What somebody sees at a glance: first whether it works, then who enforces, then what is not as it should be. */
export function statusReport(status: Status): string {
  const { url, health, ready, points } = status;
  return [
    `Control plane ${url}: ${probeText(health, 'alive')}, ${probeText(ready, 'ready')}`,
    ...pointLines(points),
    ...killLines(status),
    ...epochLines(status.epochs),
  ].join('\n');
}

function pointLines(points: readonly EnforcementPointInfo[]): string[] {
  if (points.length === 0)
    return ['No enforcement point is enrolled: a kill stops spawns and mints, and nothing else.'];
  const boots = points.flatMap((point) => point.boots);
  const present = boots.filter((boot) => boot.state !== 'left');
  const count = (state: string) => boots.filter((boot) => boot.state === state).length;
  const stale = present.reduce((sum, boot) => sum + boot.stale_admissions, 0);
  const nacks = present.reduce((sum, boot) => sum + boot.nacks.length, 0);
  return [
    `${plural(points.length, 'enforcement point')}, ${count('live')} live, ${count('silent')} silent`,
    table(
      ['enforcement point', 'mode', 'state', 'applied', 'last seen', 'not as it should be'],
      points.flatMap(rows),
    ),
    ...(nacks === 0
      ? []
      : [
          `${plural(nacks, 'order')} could not be applied somewhere; what they name is refused there.`,
        ]),
    ...(stale === 0
      ? []
      : [`${plural(stale, 'call')} let through without a valid lease (best_effort).`]),
  ];
}

function rows(point: EnforcementPointInfo): string[][] {
  const name = terminalText(point.name);
  const present = point.boots.filter((boot) => boot.state !== 'left');
  if (present.length === 0) return [[name, point.mode, 'not running', '', '', '']];
  return present.map((boot) => [
    name,
    boot.mode,
    boot.state,
    terminalText(boot.applied ?? 'nothing yet'),
    boot.last_seen_at === null ? 'never' : moment(boot.last_seen_at),
    [
      ...boot.nacks.map(({ seq, error }) => `entry ${seq}: ${terminalText(error)}`),
      ...(boot.stale_admissions === 0 ? [] : [`${boot.stale_admissions} let through while stale`]),
    ].join('; '),
  ]);
}

function killLines({ open, stuck }: Status): string[] {
  if (open.length === 0) return ['Every recent kill is contained.'];
  return [
    `${plural(open.length, 'recent kill')} not contained, ${stuck.length} stuck${stuck.length === 0 ? ':' : ' (waiting changes nothing):'}`,
    killTable(open),
  ];
}

function epochLines(epochs: readonly EpochInfo[]): string[] {
  return epochs.map((epoch) => {
    const lost = epoch.lost.map(({ from, to }) => `${from}–${to ?? '?'}`).join(', ');
    return [
      `Epoch ${epoch.epoch} since ${moment(epoch.opened_at)}: the database had gone back (${epoch.because}, stood at ${terminalText(epoch.former_head)})`,
      `${plural(epoch.restored.length, 'order')} restored`,
      lost === '' ? 'nothing known to be lost' : `LOST, shown by nobody so far: ${lost}`,
      epoch.settled ? 'settled' : 'kills are not called contained yet',
    ].join('; ');
  });
}

function probeText(result: Probe, good: string): string {
  return result.ok ? good : `not ${good} (${terminalText(result.detail ?? '')})`;
}
