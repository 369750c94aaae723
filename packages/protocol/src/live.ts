import type { Agent } from './rest/agents';
import type { Kill } from './rest/kills';

/**
 * Events of the live gateway (socket.io, websocket transport only, default namespace, path `/socket.io`). Handshake:
 * `auth: {token: <API key>}`; the same roles as `GET /v1/kills`. A refused handshake ends with `connect_error` whose
 * `data` is a problem.
 */
export interface LiveEvents {
  /** A kill was committed, or something in its record changed: a receipt arrived, the cascade grew. */
  kill: (kill: Kill) => void;
  /** One enforcement point's standing in one kill changed. */
  receipt: (receipt: LiveReceipt) => void;
  /** An agent was spawned, or ended by itself. */
  agent: (agent: Agent) => void;
}

export interface LiveReceipt {
  kill_id: string;
  enforcement_point: { id: string; name: string };
  boot_id: string;
  status: 'enforced' | 'dark' | 'pending' | 'nack' | 'unknown';
  latency_ms: number | null;
}

/** Clients send nothing. */
export type LiveRequests = Record<string, never>;
