const KEPT_HASHES = 10_000;
const ZERO = new Uint8Array(32);

/**
 * How far the stream has been applied, and the proof of it: `d_n = SHA-256(d_{n-1} ‖ SHA-256(payload n))`, starting
 * from 32 zero bytes in each epoch.
 */
export class Chain {
  epoch = 0;
  applied = 0;
  private value: Uint8Array = ZERO;
  private readonly hashes = new Map<number, string>();

  constructor(private readonly sha256: (...parts: Uint8Array[]) => Uint8Array) {}

  /** `d_applied`, base64url. */
  get digest(): string {
    return base64url(this.value);
  }

  hash(payload: Uint8Array): string {
    return base64url(this.sha256(payload));
  }

  /** The hash of an applied entry's payload; only the last 10,000 are kept. */
  kept(seq: number): string | undefined {
    return this.hashes.get(seq);
  }

  advance(hash: string): void {
    this.applied += 1;
    this.value = this.sha256(this.value, Buffer.from(hash, 'base64url'));
    this.hashes.set(this.applied, hash);
    this.hashes.delete(this.applied - KEPT_HASHES);
  }

  /** A snapshot's position. What it covers has no hash of its own. */
  jump(epoch: number, seq: number, digest: string): void {
    if (epoch !== this.epoch || seq > this.applied + KEPT_HASHES) this.hashes.clear();
    else
      for (const kept of [...this.hashes.keys()])
        if (kept <= seq - KEPT_HASHES) this.hashes.delete(kept);
    this.epoch = epoch;
    this.applied = seq;
    this.value = Buffer.from(digest, 'base64url');
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}
