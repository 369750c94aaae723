/** One protocol message of a NATS client or server, and exactly the bytes that it came as. */
export interface Frame {
  /** In capitals: `INFO`, `CONNECT`, `PING`, `PONG`, `SUB`, `UNSUB`, `PUB`, `HPUB`, `MSG`, `HMSG`, `+OK`, `-ERR`. */
  readonly op: string;
  /** The words of the control line after the op; for `INFO`, `CONNECT` and `-ERR` the whole rest as one. */
  readonly words: readonly string[];
  readonly raw: Buffer;
  /** Of what carries a message: where it goes. */
  readonly subject?: string;
  /** Of `SUB`, `UNSUB`, `MSG` and `HMSG`. */
  readonly sid?: string;
  readonly reply?: string;
  /** The header block of `HPUB` and `HMSG`. */
  readonly header?: Buffer;
  readonly payload?: Buffer;
}

/** What came is not NATS. */
export class NotNatsError extends Error {
  override readonly name = 'NotNatsError';
}

const CR_LF = Buffer.from('\r\n');
const MAX_LINE = 1_048_576;
const WITH_PAYLOAD = new Set(['PUB', 'HPUB', 'MSG', 'HMSG']);
const WHOLE_REST = new Set(['INFO', 'CONNECT', '-ERR']);

/**
 * Cuts a stream of bytes into frames, however the bytes are split or glued on their way. Payloads are not looked into:
 * they may hold line ends, and anything else.
 */
export class NatsFrames {
  private kept: Buffer = Buffer.alloc(0);

  /** @returns the frames that are complete now. @throws NotNatsError */
  push(chunk: Uint8Array): Frame[] {
    this.kept = this.kept.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.kept, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      const cut = frameAt(this.kept, at);
      if (cut === null) break;
      frames.push(cut.frame);
      at = cut.end;
    }
    this.kept = this.kept.subarray(at);
    return frames;
  }

  /** Bytes of a frame that has not come whole. */
  get waiting(): number {
    return this.kept.length;
  }
}

function frameAt(bytes: Buffer, from: number): { frame: Frame; end: number } | null {
  const lineEnd = bytes.indexOf(CR_LF, from);
  if (lineEnd === -1) {
    if (bytes.length - from > MAX_LINE) throw new NotNatsError('a control line without an end');
    return null;
  }
  const line = bytes.toString('latin1', from, lineEnd);
  const [, name = '', rest = ''] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
  const op = name.toUpperCase();
  const bodyAt = lineEnd + CR_LF.length;
  if (!WITH_PAYLOAD.has(op)) {
    const words = WHOLE_REST.has(op) ? [rest] : wordsOf(rest);
    const raw = bytes.subarray(from, bodyAt);
    return { frame: { op, words, raw, ...subscriptionOf(op, words) }, end: bodyAt };
  }
  const words = wordsOf(rest);
  const { subject, sid, reply, headerBytes, bytes: total } = addressOf(op, words);
  const end = bodyAt + total + CR_LF.length;
  if (bytes.length < end) return null;
  if (!bytes.subarray(end - CR_LF.length, end).equals(CR_LF))
    throw new NotNatsError(`a payload of ${op} that is not as long as it says`);
  const frame: Frame = {
    op,
    words,
    raw: bytes.subarray(from, end),
    subject,
    ...(sid !== undefined && { sid }),
    ...(reply !== undefined && { reply }),
    ...(headerBytes > 0 && { header: bytes.subarray(bodyAt, bodyAt + headerBytes) }),
    payload: bytes.subarray(bodyAt + headerBytes, bodyAt + total),
  };
  return { frame, end };
}

function subscriptionOf(op: string, words: readonly string[]): { subject?: string; sid?: string } {
  const [first] = words;
  const last = words.at(-1);
  if (op === 'SUB' && first !== undefined && last !== undefined)
    return { subject: first, sid: last };
  if (op === 'UNSUB' && first !== undefined) return { sid: first };
  return {};
}

/** `PUB s [r] n` · `HPUB s [r] h n` · `MSG s sid [r] n` · `HMSG s sid [r] h n` */
function addressOf(op: string, words: readonly string[]) {
  const delivered = op.endsWith('MSG');
  const sizes = op.startsWith('H') ? 2 : 1;
  const fixed = (delivered ? 2 : 1) + sizes;
  if (words.length < fixed || words.length > fixed + 1)
    throw new NotNatsError(`${op} with ${words.length} words`);
  const bytes = sizeOf(op, words.at(-1));
  const headerBytes = sizes === 2 ? sizeOf(op, words.at(-2)) : 0;
  if (headerBytes > bytes) throw new NotNatsError(`${op} with more header than message`);
  return {
    subject: words[0] as string,
    sid: delivered ? words[1] : undefined,
    reply: words.length > fixed ? words[delivered ? 2 : 1] : undefined,
    headerBytes,
    bytes,
  };
}

function sizeOf(op: string, word: string | undefined): number {
  if (word === undefined || !/^\d{1,9}$/.test(word)) throw new NotNatsError(`${op} without a size`);
  return Number(word);
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** The same message with another payload. */
export function withPayload(frame: Frame, payload: Buffer): Frame {
  const { op, subject, sid, reply, header = Buffer.alloc(0) } = frame;
  if (subject === undefined) throw new NotNatsError(`${op} carries nothing`);
  const total = header.length + payload.length;
  const words = [
    ...[subject, sid, reply].filter((word) => word !== undefined),
    ...(op.startsWith('H') ? [String(header.length)] : []),
    String(total),
  ];
  const line = Buffer.from(`${op} ${words.join(' ')}\r\n`, 'latin1');
  return { ...frame, words, payload, raw: Buffer.concat([line, header, payload, CR_LF]) };
}

/** A message as a server delivers it to a subscription. */
export function delivery(subject: string, sid: string, payload: Buffer): Buffer {
  const line = Buffer.from(`MSG ${subject} ${sid} ${payload.length}\r\n`, 'latin1');
  return Buffer.concat([line, payload, CR_LF]);
}

/** Does a subject fall under a pattern with `*` for one token and `>` for all that follow? */
export function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const given = subject.split('.');
  for (const [at, token] of wanted.entries()) {
    if (token === '>') return given.length > at;
    if (given[at] === undefined || (token !== '*' && token !== given[at])) return false;
  }
  return wanted.length === given.length;
}
