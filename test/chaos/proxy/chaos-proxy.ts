import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { HttpRequests, type HttpRequest } from './http-requests';
import { CLEAR, Way, type Conditions } from './way';

export type Direction = 'to_server' | 'to_client';
export const DIRECTIONS: readonly Direction[] = ['to_server', 'to_client'];

/** Looks at what passes one connection, and says what goes on. */
export interface Passage {
  pass(direction: Direction, chunk: Buffer): void;
  close?(): void;
}

/** One connection through the proxy. */
export class Link {
  readonly ways: Readonly<Record<Direction, Way>>;
  private readonly passage: Passage;
  private ended = false;

  constructor(
    readonly client: Socket,
    readonly server: Socket,
    open: (link: Link) => Passage,
    private readonly onEnd: (link: Link) => void,
  ) {
    client.setNoDelay(true);
    server.setNoDelay(true);
    this.ways = {
      to_server: new Way(client, server, (chunk) => this.pass('to_server', chunk)),
      to_client: new Way(server, client, (chunk) => this.pass('to_client', chunk)),
    };
    this.passage = open(this);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => one.destroy());
      one.on('close', () => {
        this.end();
        // What is on its way still arrives, unless this end went without a goodbye.
        if (one.readableEnded) other.end();
        else other.destroy();
      });
    }
  }

  send(direction: Direction, bytes: Buffer): void {
    this.ways[direction].send(bytes);
  }

  /** Both ends see the connection break. */
  reset(): void {
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  /** One end is gone; the other is not told, and goes on talking to nobody. */
  halfOpen(gone: 'client' | 'server'): void {
    const [dead, left] =
      gone === 'client' ? [this.client, this.server] : [this.server, this.client];
    dead.removeAllListeners('close');
    dead.destroy();
    for (const direction of DIRECTIONS) this.ways[direction].set({ lost: true });
    left.on('close', () => this.end());
  }

  private pass(direction: Direction, chunk: Buffer): void {
    try {
      this.passage.pass(direction, chunk);
    } catch {
      this.reset();
    }
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    this.passage.close?.();
    this.onEnd(this);
  }
}

/**
 * A road between clients and servers on which everything can go wrong that goes wrong on a network: it delays,
 * throttles, resets, loses, forgets one end, and does any of that one way only.
 */
export class ChaosProxy {
  readonly links = new Set<Link>();
  private conditions: Record<Direction, Conditions> = { to_server: CLEAR, to_client: CLEAR };
  private readonly requestObservers: ((request: HttpRequest) => void)[] = [];
  private turn = 0;
  private closed = false;

  protected constructor(
    private readonly server: Server,
    readonly port: number,
    /** Ports on loopback; the first that answers is taken, another one first each time. */
    private readonly upstreams: () => readonly number[],
  ) {
    server.on('connection', (client) => void this.join(client));
  }

  static async to(upstreams: number | (() => readonly number[])): Promise<ChaosProxy> {
    const { server, port } = await listen();
    return new ChaosProxy(server, port, portsOf(upstreams));
  }

  /** For connections that stand, and for those to come. */
  set(conditions: Conditions, directions: readonly Direction[] = DIRECTIONS): void {
    for (const direction of directions) {
      this.conditions[direction] = conditions;
      for (const link of this.links) link.ways[direction].set(conditions);
    }
  }

  /** Connections that have lost bytes are of no use any more; they end, as they would when their peers give up. */
  heal(): void {
    const broken = DIRECTIONS.some((direction) => this.conditions[direction].lost);
    if (broken) this.reset();
    this.set(CLEAR);
  }

  reset(): void {
    for (const link of [...this.links]) link.reset();
  }

  async close(): Promise<void> {
    this.closed = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.reset();
    await closed;
  }

  /** Every HTTP request, before it goes on. */
  observeRequests(observer: (request: HttpRequest) => void): void {
    this.requestObservers.push(observer);
  }

  protected open(link: Link): Passage {
    const requests = new HttpRequests();
    return {
      pass: (direction, chunk) => {
        if (direction === 'to_server' && this.requestObservers.length > 0)
          for (const request of requests.push(chunk))
            for (const observer of this.requestObservers) observer(request);
        link.send(direction, chunk);
      },
    };
  }

  private async join(client: Socket): Promise<void> {
    client.on('error', () => client.destroy());
    const server = await this.reach();
    if (server === null || client.destroyed || this.closed) {
      server?.destroy();
      client.resetAndDestroy();
      return;
    }
    const link = new Link(
      client,
      server,
      (opened) => this.open(opened),
      (ended) => this.links.delete(ended),
    );
    this.links.add(link);
    for (const direction of DIRECTIONS) link.ways[direction].set(this.conditions[direction]);
  }

  private async reach(): Promise<Socket | null> {
    const ports = this.upstreams();
    this.turn += 1;
    for (const at of ports.keys()) {
      const socket = await dial(ports[(at + this.turn) % ports.length] as number);
      if (socket !== null) return socket;
    }
    return null;
  }
}

export function portsOf(upstreams: number | (() => readonly number[])): () => readonly number[] {
  return typeof upstreams === 'number' ? () => [upstreams] : upstreams;
}

export async function listen(): Promise<{ server: Server; port: number }> {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

function dial(port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(socket));
    socket.on('error', () => {
      socket.destroy();
      resolve(null);
    });
  });
}
