import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

/** A refusal, as the agent's own MCP client saw it. */
export interface Refusal {
  /** Monotonic milliseconds at which the client had it. */
  at: number;
  code: string;
  killId: string | undefined;
}

export interface LivingAgentOptions {
  name: string;
  token: string;
  /** The upstream at a sidecar, such as `http://127.0.0.1:7410/everything`. */
  url: string;
  /** Sits inside one long call instead of making many short ones. */
  long?: boolean;
  /** Between two calls; default 10 ms. */
  paceMs?: number;
  /** Gets a new token every so often, for agents that outlive one. */
  renew?: { everyMs: number; token(): Promise<string> };
}

/** A real MCP client that calls tools in a loop until it is refused. All times are monotonic milliseconds. */
export class LivingAgent {
  calls = 0;
  lastAdmittedAt = 0;
  /** When it last got a sign of life from inside its long call. */
  progressAt = 0;
  refusal: Refusal | undefined;
  unexpected: string | undefined;
  private running = true;
  private loop: Promise<void> | undefined;
  private renewal: NodeJS.Timeout | undefined;
  private token: string;
  private readonly client = new Client({ name: 'sever-demo-agent', version: '0.1.0' });

  constructor(private readonly options: LivingAgentOptions) {
    this.token = options.token;
  }

  get name(): string {
    return this.options.name;
  }

  get long(): boolean {
    return this.options.long ?? false;
  }

  async start(): Promise<void> {
    await this.client.connect(
      new StreamableHTTPClientTransport(new URL(this.options.url), {
        fetch: (url, init) => {
          const headers = new Headers(init?.headers);
          headers.set('authorization', `Bearer ${this.token}`);
          return fetch(url, { ...init, headers });
        },
      }),
    );
    const { renew } = this.options;
    if (renew)
      this.renewal = setInterval(() => {
        // One that is refused is dead: its calls say so themselves.
        void renew.token().then(
          (token) => (this.token = token),
          () => undefined,
        );
      }, renew.everyMs);
    this.loop = this.long ? this.callOnceForLong() : this.callAndCall();
  }

  async stop(): Promise<void> {
    this.running = false;
    clearInterval(this.renewal);
    await Promise.race([this.client.close().catch(() => undefined), delay(1_000)]);
    await Promise.race([this.loop, delay(1_000)]);
  }

  private async callAndCall(): Promise<void> {
    while (this.running && this.refusal === undefined) {
      try {
        await this.client.callTool({ name: 'echo', arguments: { message: this.name } });
        this.calls += 1;
        this.lastAdmittedAt = performance.now();
      } catch (error) {
        this.note(error);
        return;
      }
      await delay(this.options.paceMs ?? 10);
    }
  }

  private async callOnceForLong(): Promise<void> {
    try {
      await this.client.callTool(
        { name: 'trigger-long-running-operation', arguments: { duration: 120, steps: 600 } },
        undefined,
        {
          timeout: 180_000,
          onprogress: () => {
            this.progressAt = performance.now();
            this.calls = 1;
          },
        },
      );
      this.unexpected = 'the long call ended by itself';
    } catch (error) {
      this.note(error);
    }
  }

  private note(error: unknown): void {
    if (!this.running) return;
    const problem = problemOf(error);
    if (problem) this.refusal = { at: performance.now(), ...problem };
    else this.unexpected = String(error);
  }
}

/** The problem that a refusal carries: in the JSON-RPC error of a cut stream, or in the body of a refused request. */
function problemOf(error: unknown): { code: string; killId: string | undefined } | undefined {
  const { data, message } = error as { data?: unknown; message?: string };
  const found = data ?? dataIn(message ?? '');
  const { code, kill_id: killId } = (found ?? {}) as { code?: unknown; kill_id?: unknown };
  return typeof code === 'string'
    ? { code, killId: typeof killId === 'string' ? killId : undefined }
    : undefined;
}

function dataIn(message: string): unknown {
  const start = message.indexOf('{');
  try {
    return (JSON.parse(message.slice(start)) as { error?: { data?: unknown } }).error?.data;
  } catch {
    return undefined;
  }
}
