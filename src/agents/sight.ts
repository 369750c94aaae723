import { READERS } from '../access/policy';
import type { Principal } from '../access/principal';
import type { Sight } from './agent.store';

/** Humans and playbooks see their tenant; a service the trees it started; an agent itself and what is below it. */
export function sightOf(principal: Principal): Sight {
  if (principal.kind === 'agent') return { below: principal.id };
  if (principal.kind === 'key') {
    if (READERS.some((role) => principal.roles.has(role))) return { all: true };
    if (principal.roles.has('service')) return { service: principal.id };
  }
  return { below: '' };
}
