import { z } from 'zod';
import { PROTOCOL_VERSION } from '../defaults';

/** Sequence numbers, epochs, generations: exact in a double. */
export const Count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
/** Milliseconds since the Unix epoch. */
export const Millis = Count;
export const Token = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
/** SHA-256, base64url without padding. */
export const Digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
export const SubjectText = z.string().min(3).max(320);
export const Nonce = z.string().regex(/^[A-Za-z0-9_-]{16,64}$/);
export const EpMode = z.enum(['strict', 'best_effort']);
/** What the enforcement point can do with work in flight: cut the stream, signal the guarded work, or neither. */
export const AbortAbility = z.enum(['stream', 'signal', 'none']);
export const PublicJwk = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  kid: z.string().max(64).optional(),
  alg: z.literal('EdDSA').optional(),
  use: z.literal('sig').optional(),
});
export type PublicJwk = z.infer<typeof PublicJwk>;
/** What a key signs: agents' tokens, the stream, or halts made without the control plane. */
export const KeyPurpose = z.enum(['token', 'stream', 'halt']);
export type KeyPurpose = z.infer<typeof KeyPurpose>;

/** `typ` of the JWS that carries a message. */
export function typOf(type: string): string {
  return `sever-${type}+jws`;
}

/** What every signed message says of itself. */
export function envelope<T extends string>(type: T) {
  return z.object({ type: z.literal(type), v: z.literal(PROTOCOL_VERSION), tenant: Token });
}
