import type { PublicJwk } from '@sever/protocol';
import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import type { z } from 'zod';
import { type UnitOfWork } from '../database/unit-of-work';

const REMEMBERED_KEYS = 10_000;

/**
 * Checks what enforcement points sign. An enforcement point's key never changes (another key is another enforcement
 * point), so it is read once.
 */
export class EpSignatures {
  private readonly keys = new Map<string, Promise<CryptoKey | null>>();

  constructor(private readonly work: UnitOfWork) {}

  /**
   * The message, if this enforcement point signed it under that `typ` and it has the declared shape.
   *
   * @returns `null` for everything else; nothing that a stranger sends throws.
   */
  async verify<T extends z.ZodType>(
    from: { readonly tenant: string; readonly ep: string },
    jws: string,
    shapes: Readonly<Record<string, T>>,
  ): Promise<z.infer<T> | null> {
    const key = await this.keyOf(from.tenant, from.ep);
    if (key === null) return null;
    try {
      const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ['EdDSA'] });
      const shape = shapes[protectedHeader.typ ?? ''];
      const parsed = shape?.safeParse(JSON.parse(Buffer.from(payload).toString()));
      if (!parsed?.success) return null;
      const said = parsed.data as { tenant?: unknown; ep?: unknown };
      return said.tenant === from.tenant && said.ep === from.ep ? parsed.data : null;
    } catch {
      return null;
    }
  }

  private keyOf(tenant: string, ep: string): Promise<CryptoKey | null> {
    const name = `${tenant}/${ep}`;
    const known = this.keys.get(name);
    if (known !== undefined) return known;
    const key = this.readKey(tenant, ep);
    this.keys.set(name, key);
    const forget = (): void => void this.keys.delete(name);
    key.then((found) => found === null && forget(), forget);
    if (this.keys.size > REMEMBERED_KEYS) this.keys.delete(this.keys.keys().next().value ?? '');
    return key;
  }

  private async readKey(tenant: string, ep: string): Promise<CryptoKey | null> {
    const [row] = await this.work.querySystem<{ public_jwk: PublicJwk }>(
      `SELECT public_jwk FROM enforcement_point WHERE tenant = $1 AND id = $2`,
      [tenant, ep],
    );
    return row ? ((await importJWK(row.public_jwk as JWK, 'EdDSA')) as CryptoKey) : null;
  }
}
