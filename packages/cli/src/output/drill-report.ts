import type { DrillResult } from '../drill/run-drill';
import type { PointResult } from '../drill/verdict';
import { duration } from './moment';
import { table } from './table';
import { plural } from './plural';
import { terminalText } from './terminal-text';

/** Who is meant: the name that it gives itself, or where it was asked. */
function called({ name, via }: PointResult): string {
  return terminalText(name === null ? via : `${name} (${via})`);
}

/** A drill for human eyes: did it pass, each enforcement point, and what to do. */
export function drillReport(result: DrillResult, boundMs: number): string {
  const { kill, enforcement_points: points } = result;
  const lines = [sentence(result, boundMs), ''];
  if (points.length > 0)
    lines.push(
      table(
        ['enforcement point', 'verdict', 'after the order', 'after the answer', 'receipt', 'said'],
        points.map((point) => [
          called(point),
          point.verdict,
          signed(point.refused_after_sent_ms),
          signed(point.refused_after_answered_ms),
          point.receipt ?? '',
          terminalText(point.said),
        ]),
      ),
    );
  if (kill !== null)
    lines.push(
      `control plane: answered in ${duration(result.answered_after_ms ?? 0)}, ${kill.state}, ` +
        `${result.control_plane_refuses ? 'refuses' : 'DOES NOT REFUSE'} spawns by the dead` +
        (kill.containment.latency_ms === null
          ? ''
          : `; slowest receipt in ${duration(kill.containment.latency_ms.max)}`),
      `${kill.id}  ${terminalText(kill.summary)}`,
    );
  lines.push(...points.flatMap(findings));
  if (points.length === 0)
    lines.push('No enforcement point was asked: name each by --via http://SIDECAR:7410.');
  return lines.join('\n');
}

function sentence({ passed, kill, enforcement_points: points }: DrillResult, boundMs: number) {
  const refused = points.filter(({ verdict }) => verdict === 'refused').length;
  if (kill === null)
    return 'DRILL FAILED: no enforcement point admitted the canaries, so nothing was killed.';
  const slowest = Math.max(0, ...points.map((point) => point.refused_after_sent_ms ?? 0));
  if (passed)
    return points.length === 0
      ? 'Drill passed at the control plane: the canaries are dead, and the kill is contained.'
      : `Drill passed: ${refused === 1 ? 'the one enforcement point' : `all ${refused} enforcement points`} refused within ${duration(slowest)}, and the survivor was admitted throughout.`;
  const hurt = points.filter(({ survivor }) => survivor !== null).length;
  return (
    `DRILL FAILED: ${refused} of ${plural(points.length, 'enforcement point')} refused within ${duration(boundMs)}` +
    (hurt > 0 ? `; the survivor was not admitted at ${hurt}` : '') +
    (kill.state === 'contained' ? '.' : `; the kill is ${kill.state}.`)
  );
}

/** What each finding means, and what to do about it. */
function findings(point: PointResult): string[] {
  const who = called(point);
  const lines: string[] = [];
  switch (point.verdict) {
    case 'lying':
      lines.push(
        `QUARANTINE ${who}: it signed a receipt for the kill and still admits the dead. ` +
          (point.quarantined_by === null
            ? `Take it out of the path, then: sever kill ${point.id ?? 'enf_…'} --reason '…' (or run the drill with --quarantine)`
            : `It was killed (${point.quarantined_by}) and gets no lease any more; take what answers at ${terminalText(point.via)} out of the path.`),
      );
      break;
    case 'admits':
      lines.push(
        `${who} still admits the dead, and has given no receipt` +
          (point.id === null ? ': it does not say which enforcement point it is. ' : '. ') +
          'Take it out of the path, and look: sever status',
      );
      break;
    case 'late':
      lines.push(
        `${who} refused only after ${signed(point.refused_after_sent_ms)}: look at its load and its network`,
      );
      break;
    case 'unheard':
      lines.push(
        `${who} proves nothing: ${terminalText(point.said)}. Is it ready, and of this control plane?`,
      );
      break;
    case 'refused':
      break;
  }
  if (point.survivor !== null)
    lines.push(
      `${who} did not admit the survivor: ${terminalText(point.survivor)}. What it refuses is more than was killed`,
    );
  return lines;
}

function signed(ms: number | null): string {
  if (ms === null) return 'never';
  return ms < 0 ? `${duration(-ms)} before` : duration(ms);
}
