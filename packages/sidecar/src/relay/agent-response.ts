import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Refusal } from '@sever/enforcement';
import { abortable } from './abortable';
import { EventBoundaries } from './event-boundaries';
import { mediaType, toAgent } from './headers';
import type { HoldGate } from './hold-gate';
import type { RefusalForm } from './refusal-form';

export interface ResponseLimits {
  /** The longest server-sent event that is kept until it is whole. */
  readonly eventBytes: number;
  /**
   * How long a client that does not read, or goes on sending, is waited for once its call was ended: twice that at most,
   * which must stay below what a receipt waits for calls that a kill has cut.
   */
  readonly graceMs: number;
}

/** The agent's end of one exchange: what reaches the agent, and how it ends. */
export class AgentResponse {
  private events: EventBoundaries | undefined;
  private head: (() => void) | undefined;

  constructor(
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
    private readonly limits: ResponseLimits,
    private readonly form: RefusalForm,
  ) {}

  get begun(): boolean {
    return this.response.headersSent;
  }

  /**
   * An event stream shows its headers at once; any other response with its first byte, so that until then an early end
   * can still be a whole refusal.
   */
  begin(status: number, headers: Parameters<typeof toAgent>[0]): void {
    const isEventStream = mediaType(headers['content-type']) === 'text/event-stream';
    this.head = () => {
      this.head = undefined;
      this.response.writeHead(status, toAgent(headers, isEventStream));
    };
    if (!isEventStream) return;
    this.events = new EventBoundaries(this.limits.eventBytes);
    this.head();
    this.response.flushHeaders();
  }

  /**
   * Sends the bytes, of an event stream what ends a whole event. Returns once the system has taken them: what lay in
   * this process could be neither held nor recalled.
   *
   * @throws the signal's reason
   */
  async write(chunk: Buffer, gate: HoldGate, signal: AbortSignal): Promise<void> {
    const bytes = this.events === undefined ? chunk : this.events.push(chunk);
    if (bytes.length === 0) return;
    while (gate.shut) await gate.pass(signal);
    signal.throwIfAborted();
    this.head?.();
    const taken = new Promise<void>((resolve, reject) => {
      this.response.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    await abortable(taken, signal);
  }

  async end(): Promise<void> {
    this.head?.();
    const rest = this.events?.rest();
    if (this.request.complete) return void this.response.end(rest);
    // Answered before all of the request had come.
    this.response.write(rest ?? '');
    await this.drainRequest();
    this.response.end();
  }

  /**
   * Ends the exchange with a refusal, as well as what was sent already allows: as the response, as the last event, or,
   * in the midst of anything else, by closing the socket. Settles when the agent's end is closed.
   */
  async refuse(refusal: Refusal): Promise<void> {
    if (!this.response.headersSent) return this.answer(refusal);
    if (this.events?.whole !== true) return this.destroy();
    this.response.end(this.form.lastEvent(refusal.problem));
    await this.settled();
  }

  destroy(): void {
    this.response.destroy();
  }

  private async answer(refusal: Refusal): Promise<void> {
    const body = this.form.body(refusal.problem);
    const unread = !this.request.complete;
    this.response.writeHead(refusal.status, {
      ...refusal.headers,
      'content-type': this.form.contentType,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      ...(unread ? { connection: 'close' } : {}),
    });
    if (unread) {
      this.response.write(body);
      await this.drainRequest();
      this.response.end();
    } else {
      this.response.end(body);
    }
    await this.settled();
  }

  /** A socket closed over bytes that nobody read is reset, and the reset would take the answer with it. */
  private async drainRequest(): Promise<void> {
    this.request.resume();
    await within(this.limits.graceMs, this.request, ['end', 'close']);
  }

  private async settled(): Promise<void> {
    if (this.response.writableFinished || this.response.destroyed) return;
    if (!(await within(this.limits.graceMs, this.response, ['finish', 'close']))) this.destroy();
  }
}

/** Waits for the first of the events; false when none came in time. */
function within(
  ms: number,
  emitter: NodeJS.EventEmitter,
  events: readonly string[],
): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (came: boolean): void => {
      clearTimeout(timer);
      for (const event of events) emitter.off(event, onEvent);
      resolve(came);
    };
    const onEvent = (): void => settle(true);
    const timer = setTimeout(() => settle(false), ms);
    for (const event of events) emitter.on(event, onEvent);
  });
}
