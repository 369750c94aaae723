import type { Call } from '@sever/protocol';

export interface CallRow {
  id: string;
  started_ms: number;
  duration_ms: number;
  enforcement_point_id: string;
  enforcement_point_name: string | null;
  agent_id: string | null;
  /** `null`: the chain is empty. */
  agents: { id: string; name: string | null }[] | null;
  initiator_id: string | null;
  initiator_subject: string | null;
  initiator_issuer: string | null;
  service_id: string | null;
  task_ids: string[];
  credential_id: string | null;
  remote_address: string | null;
  user_agent: string | null;
  upstream: string | null;
  tool: string | null;
  method: string | null;
  path: string | null;
  decision: Call['decision'];
  code: string | null;
  stale: boolean;
  outcome: Call['outcome'];
  kill_id: string | null;
  /** Postgres gives bigint as text. */
  bytes_in: string;
  bytes_out: string;
  status: number | null;
  trace_id: string | null;
  span_id: string | null;
  arguments_hash: string | null;
  arguments: string | null;
}

/** As the API shows it: from the call up the chain to the human. */
export function toCall(row: CallRow): Call {
  const { id, duration_ms, service_id, task_ids, credential_id, upstream, tool } = row;
  const { method, path, decision, code, stale, outcome, kill_id, status } = row;
  const { trace_id, span_id, arguments_hash } = row;
  return {
    id,
    started_at: new Date(row.started_ms).toISOString(),
    duration_ms,
    enforcement_point: { id: row.enforcement_point_id, name: row.enforcement_point_name },
    agent: row.agent_id === null ? null : (row.agents?.at(-1) ?? { id: row.agent_id, name: null }),
    chain: row.agents ?? [],
    initiator:
      row.initiator_id === null
        ? null
        : {
            id: row.initiator_id,
            subject: row.initiator_subject,
            issuer: row.initiator_issuer === '' ? null : row.initiator_issuer,
          },
    ...{ remote_address: row.remote_address, user_agent: row.user_agent },
    ...{ service_id, task_ids, credential_id, upstream, tool, method, path, decision, code },
    ...{ stale, outcome, kill_id, status, trace_id, span_id, arguments_hash },
    bytes_in: Number(row.bytes_in),
    bytes_out: Number(row.bytes_out),
    arguments: row.arguments === null ? null : readJson(row.arguments),
  };
}

/** What an enforcement point calls JSON is its word alone; it is shown either way. */
function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
