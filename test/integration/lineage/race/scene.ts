import { newId } from '@sever/protocol';
import type { Born, SpawnOptions, SqlTenant } from '../../../support/sql-tenant';

export const KINDS = [
  'agent',
  'credential',
  'grant',
  'task',
  'initiator',
  'service',
  'label',
  'tenant',
] as const;
export type Kind = (typeof KINDS)[number];

/** A tree to race for, its twin that nothing may touch, and what the order names. */
export interface Scene {
  readonly tenant: SqlTenant;
  readonly root: Born;
  /** How roots of the same kind are born, for what can be born anew after a reinstatement. */
  readonly options: SpawnOptions & { service: string };
  readonly subject: { kind: Kind; id: string };
  readonly wire: string;
  readonly twin: { tenant: SqlTenant; root: Born };
}

/** In a tenant of its own, so that an oracle reads no more than this race has written. */
export async function createScene(shared: SqlTenant, kind: Kind): Promise<Scene> {
  const tenant = await shared.sibling();
  const label = newId('initiator');
  const options = { ...(await tenant.newcomers()), labels: { race: label } };
  const root = await tenant.root({ ...options, task: true });
  const idOf = (prefix: string): string =>
    (root.lineage.find(([subject]) => subject.startsWith(`${prefix}:`))?.[0] ?? '').slice(
      prefix.length + 1,
    );
  const id = {
    agent: root.agentId,
    credential: root.credentialId,
    grant: idOf('grant'),
    task: idOf('task'),
    initiator: options.initiator,
    service: options.service,
    label: `race:${label}`,
    tenant: tenant.id,
  }[kind];
  const wire = kind === 'credential' ? `family:${root.credentialId}` : `${kind}:${id}`;
  return {
    ...{ tenant, root, options, wire },
    subject: { kind, id },
    twin: await twinOf(kind === 'tenant' ? shared : tenant),
  };
}

async function twinOf(tenant: SqlTenant): Promise<Scene['twin']> {
  return { tenant, root: await tenant.root() };
}
