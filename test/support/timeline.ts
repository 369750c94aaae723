/** Whoever can read one tenant's rows. */
export interface TenantReader {
  readonly id: string;
  read(sql: string, parameters: unknown[]): Promise<object[]>;
}

/** Something that was committed, and when, by Postgres' own record; microseconds. */
interface Committed {
  readonly at: number;
}
interface Issued extends Committed {
  readonly id: string;
  readonly subjects: string[];
  readonly source: string[];
  readonly dead: boolean;
}
interface Order extends Committed {
  readonly action: string;
  readonly order: string | null;
  readonly wires: string[];
}
interface Stop {
  readonly from: number;
  /** Infinity while it stands. */
  until: number;
  readonly order: string;
  readonly kills: boolean;
}

/** From rows that are inserted and never changed, so that their `xmin` is the transaction that made them true. */
const ISSUED = `
  SELECT c.id, (extract(epoch FROM pg_xact_commit_timestamp(c.xmin)) * 1000000)::float8 AS at,
         a.lin_subjects || c.own_subjects AS subjects,
         coalesce((SELECT pa.lin_subjects || p.own_subjects FROM credential p
                   JOIN agent pa ON pa.tenant = p.tenant AND pa.id = p.agent_id
                   WHERE p.tenant = c.tenant AND p.id = c.derived_from), '{}') AS source,
         d.order_id IS NOT NULL AS dead
  FROM credential c JOIN agent a ON a.tenant = c.tenant AND a.id = c.agent_id
  LEFT JOIN LATERAL sever_denial(c.tenant, a.lin_subjects || c.own_subjects,
                                 a.lin_generations || c.own_generations) d ON true
  WHERE c.tenant = $1`;
const ORDERS = `
  SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::float8 AS at, action,
         record::jsonb->>'order_id' AS order,
         coalesce((SELECT array_agg(w) FROM jsonb_array_elements_text(record::jsonb->'on_the_wire') w),
                  ARRAY[record::jsonb->>'subject']) AS wires
  FROM audit_record WHERE tenant = $1 AND action IN ('kill', 'suspend', 'lift', 'reinstate', 'escalate')
  ORDER BY at`;

export interface Judgement {
  /** Credentials whose lineage, or whose caller's, has the subject. */
  issued: number;
  /** Committed while the subject was stopped. */
  late: string[];
  /** Dead or alive otherwise than the last kill after them says. */
  wrong: string[];
}

/**
 * The oracle of races: what was issued under a subject, against the times at which its orders were committed. Nothing may
 * be committed between a kill and its reinstatement, or between a suspension and its lift; and in the end exactly that
 * is dead which a kill came after, or which a standing suspension holds.
 */
export async function judge(tenant: TenantReader, wire: string): Promise<Judgement> {
  const orders = (await tenant.read(ORDERS, [tenant.id])) as unknown as Order[];
  const issued = ((await tenant.read(ISSUED, [tenant.id])) as unknown as Issued[]).filter(
    ({ subjects, source }) => subjects.includes(wire) || source.includes(wire),
  );
  const stops = stopsOf(orders, wire);
  const standsAtEnd = stops.some(({ kills, until }) => !kills && until === Infinity);
  const late = issued.filter(({ at }) => stops.some(({ from, until }) => at > from && at < until));
  const wrong = issued
    .filter(({ subjects }) => subjects.includes(wire))
    .filter(({ at, dead }) => {
      const expected = standsAtEnd || stops.some(({ kills, from }) => kills && from > at);
      return dead !== expected;
    });
  const ids = (rows: Issued[]): string[] => rows.map(({ id }) => id);
  return { issued: issued.length, late: ids(late), wrong: ids(wrong) };
}

function stopsOf(orders: readonly Order[], wire: string): Stop[] {
  const stops: Stop[] = [];
  const end = (at: number, which: (stop: Stop) => boolean): void => {
    for (const stop of stops) if (stop.until === Infinity && which(stop)) stop.until = at;
  };
  for (const { action, at, order, wires } of orders) {
    if (action === 'lift') end(at, (stop) => !stop.kills && stop.order === order);
    else if (!wires.includes(wire)) continue;
    else if (action === 'reinstate') end(at, (stop) => stop.kills);
    else {
      if (action === 'escalate') end(at, (stop) => !stop.kills && stop.order === order);
      const kills = action !== 'suspend';
      stops.push({ from: at, until: Infinity, order: order as string, kills });
    }
  }
  return stops;
}
