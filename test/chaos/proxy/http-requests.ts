export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const MAX_KEPT = 4_194_304;

/**
 * Reads requests off one connection as they pass. For watching only: what it cannot read (a body without a length) it
 * gives up on, for the rest of that connection.
 */
export class HttpRequests {
  private kept: Buffer = Buffer.alloc(0);
  private lost = false;

  push(chunk: Buffer): HttpRequest[] {
    if (this.lost) return [];
    this.kept = Buffer.concat([this.kept, chunk]);
    const requests: HttpRequest[] = [];
    for (let next = this.next(); next !== null; next = this.next()) requests.push(next);
    if (this.kept.length > MAX_KEPT) this.lost = true;
    return requests;
  }

  private next(): HttpRequest | null {
    const headEnd = this.kept.indexOf(HEAD_END);
    if (headEnd === -1 || this.lost) return null;
    const head = this.kept.toString('latin1', 0, headEnd);
    const [, method = '', path = ''] = /^([A-Z]+) (\S+) HTTP\/1\.1\r\n/.exec(`${head}\r\n`) ?? [];
    if (method === '' || /\r\ntransfer-encoding:/i.test(head)) {
      this.lost = true;
      return null;
    }
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    const bodyAt = headEnd + HEAD_END.length;
    if (this.kept.length < bodyAt + length) return null;
    const body = this.kept.subarray(bodyAt, bodyAt + length);
    this.kept = this.kept.subarray(bodyAt + length);
    return { method, path, body };
  }
}
