import { randomUUID } from 'node:crypto';
import {
  AgentList,
  AgentTree,
  Agent,
  ApiKeyCreated,
  CallList,
  CascadeList,
  CompleteReply,
  EnforcementPointList,
  EpochList,
  EnrolmentKeyCreated,
  Kill,
  KillList,
  KillPlan,
  KillReceiptList,
  MintReply,
  ReinstateReply,
  SpawnReply,
  WAIT_DEFAULT_MS,
  type AgentQuery,
  type Call,
  type CallQuery,
  type CascadeMember,
  type CreateApiKey,
  type CreateEnrolmentKey,
  type EnforcementPointInfo,
  type EpochInfo,
  type KillAgentRequest,
  type KillQuery,
  type KillReceipt,
  type KillRequest,
  type List,
  type MintRequest,
  type ReasonRequest,
  type ReinstateRequest,
  type SpawnRequest,
  type SubjectRef,
  type SuspendAgentRequest,
} from '@sever/protocol';
import { HttpConnection, type HttpReply, type Query } from './http-connection';
import type { Schema } from './schema';

export interface SeverClientOptions {
  /** Base URL of the control plane, e.g. `http://127.0.0.1:7400`. */
  readonly url: string;
  /** API key or agent token; sent as a bearer, never logged. */
  readonly key: string;
  /** Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** Wall clock, milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number;
}

/** What every call accepts. An aborted signal ends it with the signal's reason. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the answer must be complete. */
  readonly timeoutMs?: number | undefined;
}

export interface KillOptions extends CallOptions {
  /** Milliseconds to wait for containment; the server's default is 2,000 and its limit 30,000. */
  readonly waitMs?: number | undefined;
  /** 1–255 printable ASCII characters. Generated when absent, so that no kill travels without one. */
  readonly idempotencyKey?: string | undefined;
}

/** A page of a list: `limit` 1–500 (default 100), `cursor` from the page before. */
export interface PageQuery {
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}

/** How long past the server's own wait an answer may take before it counts as lost. */
const ANSWER_GRACE_MS = 10_000;

/**
 * The control plane's REST interface, typed and validated.
 *
 * Every method rejects with a `ProblemResponseError` when the server refuses, a `ConnectionError` when no whole answer
 * arrives, and an `UnexpectedReplyError` when the answer breaks the contract.
 *
 * @example
 * const client = new SeverClient({ url: 'http://127.0.0.1:7400', key: process.env.SEVER_KEY! });
 * const { agent, credential } = await client.spawn({ name: 'planner', initiator: { subject: 'alice@example.com' } });
 * const child = await client.as(credential.token).spawn({ name: 'reader' });
 * await client.killAgent(agent.id, { reason: 'drill' }, { waitMs: 5_000 });
 */
export class SeverClient {
  private readonly http: HttpConnection;

  constructor(private readonly options: SeverClientOptions) {
    this.http = new HttpConnection(
      options.url,
      options.key,
      options.fetch ?? globalThis.fetch,
      options.now ?? Date.now,
    );
  }

  /** The server's wall clock as of its last answer, milliseconds since the epoch, ± 1 s. */
  serverNow(): number {
    return this.http.serverNow();
  }

  /** The same control plane under another key or agent token. */
  as(key: string): SeverClient {
    return new SeverClient({ ...this.options, key });
  }

  /** A root (with an API key and an `initiator`) or a child of the calling agent. */
  spawn(request: SpawnRequest, options: CallOptions = {}): Promise<SpawnReply> {
    return this.post(SpawnReply, 'v1/agents', request, options);
  }

  mint(agentId: string, request: MintRequest = {}, options: CallOptions = {}): Promise<MintReply> {
    return this.post(MintReply, `v1/agents/${path(agentId)}/credentials`, request, options);
  }

  getAgent(agentId: string, options: CallOptions = {}): Promise<Agent> {
    return this.get(Agent, `v1/agents/${path(agentId)}`, {}, options);
  }

  listAgents(query: Partial<AgentQuery> = {}, options: CallOptions = {}): Promise<List<Agent>> {
    return this.get(AgentList, 'v1/agents', query, options);
  }

  /** The agent and all it spawned, depth first. */
  tree(agentId: string, query: PageQuery = {}, options: CallOptions = {}): Promise<List<Agent>> {
    return this.get(AgentTree, `v1/agents/${path(agentId)}/tree`, { ...query }, options);
  }

  complete(agentId: string, options: CallOptions = {}): Promise<{ agent: Agent }> {
    return this.post(CompleteReply, `v1/agents/${path(agentId)}/complete`, undefined, options);
  }

  kill(request: KillRequest, options: KillOptions = {}): Promise<Kill> {
    return this.postKill('v1/kills', request, options);
  }

  killAgent(agentId: string, request: KillAgentRequest, options: KillOptions = {}): Promise<Kill> {
    return this.postKill(`v1/agents/${path(agentId)}/kill`, request, options);
  }

  /** As {@link kill} with `action: "suspend"` and this one agent. */
  suspendAgent(
    agentId: string,
    request: SuspendAgentRequest,
    options: KillOptions = {},
  ): Promise<Kill> {
    return this.postKill(`v1/agents/${path(agentId)}/suspend`, request, options);
  }

  /** What the order would cover if it were given now. Changes nothing; takes the same rights as the order. */
  previewKill(request: KillRequest, options: CallOptions = {}): Promise<KillPlan> {
    return this.post(KillPlan, 'v1/kills/preview', request, options);
  }

  /** Lifts a suspension. One that is lifted already answers as if this call had done it, so it may be repeated. */
  liftKill(killId: string, request: ReasonRequest, options: CallOptions = {}): Promise<Kill> {
    return this.post(Kill, `v1/kills/${path(killId)}/lift`, request, options);
  }

  /** Makes a kill of a suspension, under its own id. May be repeated: it escalates once. */
  escalateKill(
    killId: string,
    request: ReasonRequest,
    options: Omit<KillOptions, 'idempotencyKey'> = {},
  ): Promise<Kill> {
    return this.postWaiting(`v1/kills/${path(killId)}/escalate`, request, options, {});
  }

  /**
   * Gives a killed subject a new generation. A second call answers 409 `not_killed`: after a broken connection, look
   * whether the kills carry `reinstated` before taking that for a refusal.
   */
  reinstate(
    subject: SubjectRef,
    request: ReinstateRequest,
    options: CallOptions = {},
  ): Promise<ReinstateReply> {
    const at = `v1/subjects/${path(subject.kind)}/${path(subject.id)}/reinstate`;
    return this.post(ReinstateReply, at, request, options);
  }

  getKill(killId: string, options: CallOptions = {}): Promise<Kill> {
    return this.get(Kill, `v1/kills/${path(killId)}`, {}, options);
  }

  listKills(query: Partial<KillQuery> = {}, options: CallOptions = {}): Promise<List<Kill>> {
    return this.get(KillList, 'v1/kills', query, options);
  }

  /** Records of calls, newest first. */
  calls(query: Partial<CallQuery> = {}, options: CallOptions = {}): Promise<List<Call>> {
    return this.get(CallList, 'v1/calls', query, options);
  }

  cascade(
    killId: string,
    query: PageQuery = {},
    options: CallOptions = {},
  ): Promise<List<CascadeMember>> {
    return this.get(CascadeList, `v1/kills/${path(killId)}/cascade`, { ...query }, options);
  }

  receipts(
    killId: string,
    query: PageQuery = {},
    options: CallOptions = {},
  ): Promise<List<KillReceipt>> {
    return this.get(KillReceiptList, `v1/kills/${path(killId)}/receipts`, { ...query }, options);
  }

  enforcementPoints(
    query: PageQuery = {},
    options: CallOptions = {},
  ): Promise<List<EnforcementPointInfo>> {
    return this.get(EnforcementPointList, 'v1/enforcement-points', { ...query }, options);
  }

  epochs(query: PageQuery = {}, options: CallOptions = {}): Promise<List<EpochInfo>> {
    return this.get(EpochList, 'v1/epochs', { ...query }, options);
  }

  createApiKey(request: CreateApiKey, options: CallOptions = {}): Promise<ApiKeyCreated> {
    return this.post(ApiKeyCreated, 'v1/api-keys', request, options);
  }

  createEnrolmentKey(
    request: CreateEnrolmentKey,
    options: CallOptions = {},
  ): Promise<EnrolmentKeyCreated> {
    return this.post(EnrolmentKeyCreated, 'v1/enrolment-keys', request, options);
  }

  /** `/healthz` or `/readyz`; rejects when the answer is not 2xx. */
  probe(name: 'healthz' | 'readyz', options: CallOptions = {}): Promise<HttpReply> {
    return this.http.send({ method: 'GET', path: name, ...options });
  }

  private get<T>(schema: Schema<T>, at: string, query: Query, options: CallOptions) {
    return this.http.call(schema, { method: 'GET', path: at, query, ...options });
  }

  private post<T>(schema: Schema<T>, at: string, body: unknown, options: CallOptions) {
    return this.http.call(schema, { method: 'POST', path: at, body, ...options });
  }

  private postKill(at: string, body: unknown, options: KillOptions): Promise<Kill> {
    const headers = { 'idempotency-key': options.idempotencyKey ?? randomUUID() };
    return this.postWaiting(at, body, options, headers);
  }

  private postWaiting(
    at: string,
    body: unknown,
    { waitMs, signal, timeoutMs }: KillOptions,
    headers: Readonly<Record<string, string>>,
  ): Promise<Kill> {
    return this.http.call(Kill, {
      method: 'POST',
      path: at,
      body,
      query: { wait: waitMs === undefined ? undefined : waitMs === 0 ? '0' : `${waitMs}ms` },
      headers,
      signal,
      timeoutMs: timeoutMs ?? (waitMs ?? WAIT_DEFAULT_MS) + ANSWER_GRACE_MS,
    });
  }
}

/** An id may come from anywhere; it must not reach another route. */
function path(id: string): string {
  return encodeURIComponent(id);
}
