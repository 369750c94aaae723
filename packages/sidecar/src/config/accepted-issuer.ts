import { z } from 'zod';

const Claim = z
  .string()
  .max(128)
  .regex(/^[^\s]+$/, 'must be the name of a claim');

/** One of `accept`: an issuer of tokens beside the control plane, and what its claims mean. */
export const WrittenIssuer = z
  .strictObject({
    issuer: z.string().min(1).max(2_048),
    audience: z.string().min(1).max(2_048),
    jwks_url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional(),
    jwks_file: z.string().min(1).optional(),
    agent_claim: Claim,
    human_claim: Claim.optional(),
    name: z.string().min(1).max(64).optional(),
  })
  .refine(
    ({ jwks_url, jwks_file }) => (jwks_url === undefined) !== (jwks_file === undefined),
    'needs a jwks_url or a jwks_file, and not both',
  );

/** A party whose tokens this sidecar takes, beside the control plane. */
export interface AcceptedIssuer {
  /** `iss` of its tokens, and the `aud` that they must carry. */
  readonly issuer: string;
  readonly audience: string;
  /** Where its keys are. */
  readonly jwks: { readonly url: string } | { readonly file: string };
  /** The claims that say which agent it is, and for which human it works. */
  readonly agentClaim: string;
  readonly humanClaim?: string | undefined;
  /** How lists show it. */
  readonly name?: string | undefined;
}

export function acceptedIssuer(written: z.output<typeof WrittenIssuer>): AcceptedIssuer {
  const { issuer, audience, jwks_url, jwks_file, agent_claim, human_claim, name } = written;
  return {
    issuer,
    audience,
    jwks: jwks_url === undefined ? { file: jwks_file ?? '' } : { url: jwks_url },
    agentClaim: agent_claim,
    ...(human_claim !== undefined && { humanClaim: human_claim }),
    ...(name !== undefined && { name }),
  };
}
