import { Agent, request as send } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kill, SpawnReply } from '@sever/protocol';
import { monotonicMs } from '../measure/monotonic';

const SPAWN_ATTEMPTS = 5;

export interface Exchange<T> {
  readonly status: number;
  readonly body: T;
  /** Shared monotonic clock, milliseconds: the request was handed over; the whole reply was there. */
  readonly sentAt: number;
  readonly answeredAt: number;
}

export interface Living {
  readonly id: string;
  readonly token: string;
}

/** HTTP as floors and figures both use it: kept-alive connections and nothing else on the way. */
export class HttpRoad {
  private readonly agent: Agent;
  private readonly host: string;
  private readonly port: number;

  constructor(url: string, maxSockets = 256) {
    const { hostname, port } = new URL(url);
    this.host = hostname;
    this.port = Number(port);
    this.agent = new Agent({ keepAlive: true, maxSockets, noDelay: true });
  }

  async exchange<T>(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Exchange<T>> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const { host, port, agent } = this;
    return new Promise((resolve, reject) => {
      const sentAt = monotonicMs();
      const sending = send(
        {
          ...{ host, port, agent, method, path },
          headers: {
            ...(text !== '' && { 'content-type': 'application/json' }),
            'content-length': Buffer.byteLength(text),
            ...headers,
          },
        },
        (reply) => {
          const chunks: Buffer[] = [];
          reply.on('data', (chunk: Buffer) => chunks.push(chunk));
          reply.once('error', reject);
          reply.once('end', () => {
            const answeredAt = monotonicMs();
            const answer = Buffer.concat(chunks).toString('utf8');
            const status = reply.statusCode ?? 0;
            if (status >= 400) return reject(new Error(`${method} ${path}: ${status} ${answer}`));
            resolve({ status, body: JSON.parse(answer) as T, sentAt, answeredAt });
          });
        },
      );
      sending.once('error', reject);
      sending.end(text);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** The control plane's REST interface, with the bootstrap key. */
export class Api {
  private readonly road: HttpRoad;

  constructor(
    readonly url: string,
    readonly key: string,
  ) {
    this.road = new HttpRoad(url);
  }

  /** An agent of its own tree, with its first token. Tried again while the control plane has too much to do. */
  async spawnRoot(name: string, scopes: readonly string[] = ['tool:bench/*']): Promise<Living> {
    const request = { name, initiator: { subject: 'bench' }, scopes };
    for (let attempt = 1; ; attempt++)
      try {
        const { body } = await this.call<SpawnReply>('POST', '/v1/agents', request);
        return { id: body.agent.id, token: body.credential.token };
      } catch (error) {
        if (attempt === SPAWN_ATTEMPTS || !/: 503 /.test(String(error))) throw error;
        await delay(attempt * 1_000);
      }
  }

  /** @param wait as in `?wait=`; `''` leaves it to the control plane */
  kill(agentId: string, wait: string): Promise<Exchange<Kill>> {
    const query = wait === '' ? '' : `?wait=${wait}`;
    return this.call('POST', `/v1/kills${query}`, {
      subject: { kind: 'agent', id: agentId },
      reason: 'measured by a benchmark',
    });
  }

  async read(killId: string): Promise<Kill> {
    return (await this.call<Kill>('GET', `/v1/kills/${killId}`)).body;
  }

  /** The key that tokens are signed with. */
  async tokenKey(): Promise<object> {
    const { body } = await this.call<{ keys: object[] }>('GET', '/.well-known/jwks.json');
    const key = body.keys[0];
    if (key === undefined) throw new Error('no key');
    return key;
  }

  close(): void {
    this.road.close();
  }

  private call<T>(method: string, path: string, body?: object): Promise<Exchange<T>> {
    return this.road.exchange(method, path, body, { authorization: `Bearer ${this.key}` });
  }
}
