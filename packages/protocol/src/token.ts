import { z } from 'zod';

/** `typ` of an agent's token (RFC 9068). */
export const TOKEN_TYP = 'at+jwt';

/** Claims of an agent's token. The lineage `lin` alone decides whom it speaks for and what kills it. */
export const TokenClaims = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  jti: z.string().regex(/^crd_[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  iat: z.number().int(),
  exp: z.number().int(),
  sub: z.string(),
  act: z.object({ sub: z.string() }).optional(),
  tid: z.string(),
  scope: z.string(),
  use: z.literal('tools').optional(),
  lin: z
    .array(z.tuple([z.string().min(3).max(320), z.number().int().nonnegative()]))
    .min(4)
    .max(512),
});
export type TokenClaims = z.infer<typeof TokenClaims>;

/** The scopes in a `scope` claim. */
export function scopesOf(claims: Pick<TokenClaims, 'scope'>): string[] {
  return claims.scope === '' ? [] : claims.scope.split(' ');
}
