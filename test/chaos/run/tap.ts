import { ENTRY_SEPARATOR, LeaseRequest, typOf } from '@sever/protocol';
import type { Entry, Leave, Receipt, SnapshotRequest } from '@sever/protocol';
import type { History } from '../history/history';
import type { HttpRequest } from '../proxy/http-requests';
import type { Passing } from '../proxy/nats-proxy';

/** `process.hrtime.bigint()`: one clock for all processes of this machine. */
export const now = (): bigint => process.hrtime.bigint();

type Road = 'nats' | 'http';
type Said = Receipt | Leave | SnapshotRequest;

/** Reads what enforcement points and the control plane say to each other, on both roads, and writes it down. */
export class Tap {
  constructor(private readonly history: History) {}

  readonly nats = ({ at, client, direction, subject, payload }: Passing): void => {
    const kind = subject.split('.')[2];
    if (direction === 'to_client' && kind === 'stream') return this.entries(at, client, payload);
    if (direction === 'to_client') return;
    if (kind === 'lease') this.leaseRequest(at, 'nats', client, payload);
    if (kind === 'receipt' || kind === 'snapshot')
      this.said(at, 'nats', payload.toString('latin1'));
  };

  /** @param point whose road it is */
  readonly http = (point: () => string, { path, body }: HttpRequest): void => {
    const at = now();
    if (/\/stream\/lease\b/.test(path)) this.leaseRequest(at, 'http', point(), body);
    if (/\/stream\/(receipts|snapshot)\b/.test(path))
      this.said(at, 'http', body.toString('latin1'));
  };

  private entries(at: bigint, point: string, payload: Buffer): void {
    for (const line of payload.toString('latin1').split(ENTRY_SEPARATOR)) {
      const entry = read<Entry>(line);
      if (entry === null) continue;
      const { epoch, seq } = entry.body;
      this.history.add({ kind: 'publish', at, point, position: { epoch, seq } });
    }
  }

  private leaseRequest(at: bigint, road: Road, point: string, payload: Buffer): void {
    const request = LeaseRequest.safeParse(json(payload.toString('utf8')));
    if (!request.success) return;
    const { boot_id: boot, epoch, applied: seq, digest } = request.data;
    this.history.add({
      kind: 'lease_request',
      road,
      at,
      point,
      boot,
      position: { epoch, seq },
      digest,
    });
  }

  private said(at: bigint, road: Road, jws: string): void {
    const message = read<Said>(jws);
    if (message === null) return;
    const { typ, body } = message;
    const { ep: point, boot_id: boot } = body;
    if (typ === typOf('receipt') && body.type === 'receipt') {
      const position = { epoch: body.epoch, seq: body.applied };
      this.history.add({ kind: 'receipt', road, at, point, boot, position, digest: body.digest });
    }
    if (typ === typOf('leave')) this.history.add({ kind: 'leave', at, point, boot });
    // Its exclusive lock proves that the one before is gone, and it says so.
    if (body.type === 'snapshot-request' && body.replaces !== undefined)
      this.history.add({ kind: 'leave', at, point, boot: body.replaces });
  }
}

/** Of what enforcement points and the control plane themselves have signed; nobody is being convinced here. */
function read<T>(jws: string): { typ: string; body: T } | null {
  const [header = '', payload = ''] = jws.split('.');
  const head = json(Buffer.from(header, 'base64url').toString()) as { typ?: string } | null;
  const body = json(Buffer.from(payload, 'base64url').toString()) as T | null;
  return head?.typ === undefined || body === null ? null : { typ: head.typ, body };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
