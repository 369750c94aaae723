import { once } from 'node:events';
import { ServerResponse, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import { abortable } from '../relay/abortable';
import type { ExchangeParts } from '../relay/exchange';
import { toAgent } from '../relay/headers';
import { HoldGate } from '../relay/hold-gate';
import type { UrlUpstream } from '../sidecar-file';
import { contextOf } from './call-context';
import { forwardedHeaders } from './forwarded-headers';
import { HttpExchange, pathOf } from './http-exchange';

/** How long the other end may take to close once one end has. */
const CLOSE_MS = 1_000;

/**
 * A WebSocket of an agent with an upstream: its bytes pass as they are, in both directions, until one end closes or the
 * call is cut. Frames are not read, so a cut closes both sockets rather than with a frame of its own.
 */
export class WebSocketExchange extends HttpExchange {
  override readonly isListening = true;

  private constructor(
    upstream: UrlUpstream,
    request: IncomingMessage,
    private readonly socket: Duplex,
    private readonly head: Buffer,
    private readonly response: ServerResponse,
    parts: ExchangeParts,
  ) {
    super(upstream, request, response, parts);
  }

  /** @param head what the agent has sent already beyond its request */
  static of(
    upstream: UrlUpstream,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    parts: ExchangeParts,
  ): WebSocketExchange {
    // Until the upgrade is through, it is answered like any request.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
    response.once('finish', () => socket.end());
    return new WebSocketExchange(upstream, request, socket, head, response, parts);
  }

  protected override async relay(token: string): Promise<void> {
    const { upstream, signal } = this;
    if (this.method() !== 'GET') throw new ProblemError('bad_request', 'A WebSocket opens by GET');
    const target = this.target(token);
    const admitted = await this.admit(token, contextOf(upstream, 'GET', target.path, true));
    this.parts.metrics.decided(admitted);
    const gate = new HoldGate(admitted.call);
    await gate.pass(signal);
    const far = await this.open(pathOf(upstream, target), token);
    const cut = (): void => {
      far.socket.destroy();
      this.socket.destroy();
    };
    signal.addEventListener('abort', cut);
    if (signal.aborted) cut();
    signal.throwIfAborted();
    this.confirm(far.headers);
    await Promise.all([
      this.pump(this.socket, far.socket, gate, this.head),
      this.pump(far.socket, this.socket, gate),
    ]);
  }

  private async open(path: string, token: string): Promise<Dispatcher.UpgradeData> {
    const { upstream, request, signal } = this;
    const options: Dispatcher.UpgradeOptions & { origin: string } = {
      origin: new URL(upstream.url).origin,
      path,
      method: 'GET',
      protocol: 'websocket',
      headers: forwardedHeaders(request, token, upstream),
      signal,
    };
    try {
      return await this.parts.dispatcher.upgrade(options);
    } catch (cause) {
      signal.throwIfAborted();
      const detail = `The upstream ${upstream.name} opens no WebSocket there`;
      throw new ProblemError('upstream_unreachable', detail, {}, { cause });
    }
  }

  private confirm(headers: IncomingHttpHeaders): void {
    this.response.removeAllListeners('finish');
    this.response.writeHead(101, {
      ...toAgent(headers, false),
      connection: 'Upgrade',
      upgrade: 'websocket',
    });
    this.response.flushHeaders();
    this.response.detachSocket(this.socket as Parameters<ServerResponse['detachSocket']>[0]);
  }

  private async pump(from: Duplex, to: Duplex, gate: HoldGate, first?: Buffer): Promise<void> {
    const { signal } = this;
    const send = async (chunk: Buffer): Promise<void> => {
      while (gate.shut) await gate.pass(signal);
      signal.throwIfAborted();
      if (to === this.socket) this.note.bytesOut += chunk.length;
      else this.note.bytesIn += chunk.length;
      if (!to.write(chunk)) await abortable(once(to, 'drain', { signal }), signal);
    };
    try {
      if (first !== undefined && first.length > 0) await send(first);
      for await (const chunk of from) await send(chunk as Buffer);
    } catch {
      signal.throwIfAborted();
      // One end broke off: the other is closed below.
    }
    to.end();
    setTimeout(() => to.destroy(), CLOSE_MS).unref();
  }
}
