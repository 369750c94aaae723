import { z } from 'zod';

/** Claims of the proof that the enroller holds the private key: a JWS by `public_key`, `iat` within 5 minutes, `jti` once. */
export const EnrolmentProof = z.object({
  name: z.string(),
  nats_public_key: z.string(),
  iat: z.number().int(),
  jti: z.string().min(8).max(128),
});
export type EnrolmentProof = z.infer<typeof EnrolmentProof>;
export const ENROLMENT_PROOF_TYP = 'sever-enrolment+jws';
