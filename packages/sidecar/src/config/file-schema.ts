import { z } from 'zod';
import { WrittenIssuer } from './accepted-issuer';
import { ModeField, WrittenUpstream } from './upstream-schema';

export const EP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The whole of `sidecar.yaml`. */
export const WrittenSidecarFile = z.strictObject({
  name: z.string().regex(EP_NAME, `must match ${EP_NAME.source}`).optional(),
  mode: ModeField.optional(),
  records: z
    .strictObject({
      arguments: z.enum(['hash', 'redacted'], 'must be hash or redacted').optional(),
      redact: z.array(z.string().min(1).max(128)).max(1_000).optional(),
    })
    .optional(),
  accept: z.array(WrittenIssuer).max(64).optional(),
  upstreams: z
    .array(WrittenUpstream)
    .superRefine((upstreams, context) => {
      upstreams.forEach(({ name }, at) => {
        if (upstreams.findIndex((other) => other.name === name) < at) {
          context.addIssue({
            code: 'custom',
            path: [at, 'name'],
            message: `is taken by an upstream above: ${name}`,
          });
        }
      });
    })
    .optional(),
});
export type WrittenSidecarFile = z.output<typeof WrittenSidecarFile>;
