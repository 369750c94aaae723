import type { Principal } from './principal';

/** Who did it, as records keep it. */
export function actorOf(principal: Principal): { id: string; name: string; kind: string } {
  switch (principal.kind) {
    case 'key':
      return { id: principal.id, name: principal.name, kind: 'operator' };
    case 'agent':
      return { id: principal.id, name: principal.id, kind: 'agent' };
    case 'enforcement_point':
    case 'enroller':
      return { id: principal.id, name: principal.name, kind: principal.kind };
  }
}

/** The lineage of an agent's token as the database's functions take it; empty for everybody else. */
export function callerPairs(principal: Principal): {
  caller_subjects: string[];
  caller_generations: number[];
} {
  const lineage = principal.kind === 'agent' ? principal.lineage : [];
  return {
    caller_subjects: lineage.map(([subject]) => subject),
    caller_generations: lineage.map(([, generation]) => generation),
  };
}
