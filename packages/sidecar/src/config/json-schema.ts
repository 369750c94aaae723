import { z } from 'zod';
import { WrittenSidecarFile } from './file-schema';

/** The JSON schema of `sidecar.yaml`, for editors. What it cannot say, such as two names alike, only the sidecar checks. */
export function sidecarFileSchema(): object {
  const { $schema, ...schema } = z.toJSONSchema(WrittenSidecarFile, { io: 'input' });
  return { $schema, title: 'sidecar.yaml', ...schema };
}
