import type { IncomingMessage } from 'node:http';
import type { CallContext, Decision, SeenCall } from '@sever/enforcement';
import type { Enforcer } from '../enforcer';
import type { CallRecording } from '../sidecar-file';
import { recordedArguments, type RecordedArguments } from './recorded-arguments';
import { traceOf } from './trace-context';

/** Of longer messages the arguments are not hashed: it would hold up other calls. */
const MAX_HASHED_BYTES = 512 * 1_024;

type Ending = Pick<SeenCall, 'outcome'> & Partial<Pick<SeenCall, 'code' | 'killId' | 'status'>>;

/**
 * What is known of one exchange so far, for the record of it. The record is made once, at the end, and only of an exchange
 * whose token was one, or of one that is only observed: who else would it be about?
 */
export class CallNote {
  /** Bytes of bodies: what the caller sent, and what it got. */
  bytesIn = 0;
  bytesOut = 0;
  /** Of the upstream's response. */
  status: number | undefined;
  private readonly startedAt: number;
  private readonly startedMono = performance.now();
  private readonly readBefore: number;
  private decision: Decision | undefined;
  private context: CallContext = {};
  private message: Buffer | undefined;
  private described: RecordedArguments | undefined;
  private isRecorded = false;

  constructor(
    private readonly enforcer: Pick<Enforcer, 'record' | 'now'>,
    private readonly upstream: string,
    private readonly request: IncomingMessage,
    private readonly recording: CallRecording = { arguments: 'hash', redact: [] },
  ) {
    this.startedAt = enforcer.now();
    this.readBefore = request.socket.bytesRead;
  }

  /** The last decision is what it was about: the first one may know less. */
  decided(decision: Decision, context: CallContext): void {
    // Of what one message names beside its tool, the tool is the call.
    if (this.context.tool !== undefined && decision.decision === 'allow') return;
    this.decision = decision;
    this.context = context;
  }

  /** The tool that a refused message names; nothing was decided about it. */
  asked(tool: string): void {
    this.context = { tool, ...this.context };
  }

  /** The JSON-RPC message whose arguments are recorded. */
  carries(message: Buffer): void {
    this.bytesIn = message.length;
    if (message.length > MAX_HASHED_BYTES) return;
    this.message = message;
    // After the call has gone on its way, and before it is over: a message is not kept for as long as its answer takes.
    setImmediate(() => this.describe());
  }

  /** It is over, and this is how. */
  ended({ outcome, code, killId, status }: Ending): void {
    const { decision, context, upstream, request } = this;
    if (this.isRecorded || decision?.caller === undefined) return;
    this.isRecorded = true;
    this.describe();
    const { traceId, spanId } = traceOf(request);
    const wouldDeny = decision.decision === 'allow' ? decision.wouldDeny : undefined;
    const letThrough = wouldDeny === undefined ? 'allow' : 'would_deny';
    this.enforcer.record({
      ...{ caller: decision.caller, startedAt: this.startedAt, traceId, spanId, upstream },
      durationMs: performance.now() - this.startedMono,
      ...(context.tool === undefined
        ? { method: request.method, path: request.url }
        : { tool: context.tool }),
      decision: outcome === 'refused' ? 'deny' : letThrough,
      ...{ stale: decision.stale, outcome, code: code ?? wouldDeny, killId },
      ...(decision.caller.agentId === '' && this.whereFrom()),
      status: status ?? this.status,
      ...{ bytesIn: this.bytesIn || this.received(), bytesOut: this.bytesOut },
      ...this.described,
    });
  }

  /** All there is to find a caller by that nobody knows. */
  private whereFrom(): Partial<SeenCall> {
    const { socket, headers } = this.request;
    return { remoteAddress: socket.remoteAddress, userAgent: headers['user-agent'] };
  }

  private describe(): void {
    const { message } = this;
    this.message = undefined;
    if (message === undefined || this.context.tool === undefined) return;
    const { params } = JSON.parse(message.toString()) as { params?: { arguments?: unknown } };
    if (params?.arguments !== undefined)
      this.described = recordedArguments(params.arguments, this.recording);
  }

  /** Of a body that nobody here has counted: what it was said to be, or what has come since the request began. */
  private received(): number {
    const { headers, socket } = this.request;
    const said = Number(headers['content-length']);
    if (Number.isSafeInteger(said) && said >= 0) return said;
    return 'transfer-encoding' in headers || 'upgrade' in headers
      ? socket.bytesRead - this.readBefore
      : 0;
  }
}
