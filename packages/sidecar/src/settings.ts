import { join } from 'node:path';
import { z } from 'zod';
import { weakestMode, withMode } from './config/strictness';
import { SidecarError } from './sidecar-error';
import {
  EP_NAME,
  readSidecarFile,
  type AcceptedIssuer,
  type CallRecording,
  type Upstream,
} from './sidecar-file';

export interface Settings {
  /** The control plane. */
  readonly url: string;
  readonly enrolmentKey: string;
  readonly name: string;
  /** What the enforcement point reports: the weakest of the sidecar's own and of what its upstreams and tools have. */
  readonly mode: 'strict' | 'best_effort';
  /** Of whatever the config gives no other. */
  readonly ownMode: 'strict' | 'best_effort';
  /** How it hears the control plane: by both roads, or by one of them alone. */
  readonly transport: 'auto' | 'nats' | 'http';
  readonly host: string;
  /** 0 lets the system pick one. */
  readonly port: number;
  /** Decisions for Envoy over gRPC; 0 lets the system pick one. Absent: none are served. */
  readonly grpcPort?: number;
  /** Where this sidecar's enforcement point keeps its keys. */
  readonly keyDirectory: string;
  readonly upstreams: readonly Upstream[];
  readonly records: CallRecording;
  /** Whose tokens are taken beside the control plane's. */
  readonly accept: readonly AcceptedIssuer[];
}

const Port = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a port from 0 to 65535 (0 picks one)')
  .transform(Number)
  .refine((port) => port <= 65_535, 'must be a port from 0 to 65535 (0 picks one)');

const Environment = z.object({
  SEVER_URL: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional(),
  SEVER_ENROLMENT_KEY: z
    .string({
      error:
        'is not set. Give it an enrolment key (POST /v1/enrolment-keys makes one) or the bootstrap key of the control plane',
    })
    .min(1),
  SEVER_SIDECAR_NAME: z.string().regex(EP_NAME, `must match ${EP_NAME.source}`).optional(),
  SEVER_MODE: z.enum(['strict', 'best_effort'], 'must be strict or best_effort').optional(),
  SEVER_TRANSPORT: z.enum(['auto', 'nats', 'http'], 'must be auto, nats or http').optional(),
  SEVER_SIDECAR_HOST: z.string().min(1).optional(),
  SEVER_SIDECAR_PORT: Port.optional(),
  SEVER_SIDECAR_GRPC_PORT: Port.optional(),
  SEVER_DATA_DIR: z.string().min(1).optional(),
});

/**
 * Reads the file, if one is named, and lays the environment over it. An empty variable counts as unset.
 *
 * @throws SidecarError whose message names the variable, or the file and line, and what to do about it.
 */
export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
  configFile?: string,
): Settings {
  const file = configFile === undefined ? undefined : readSidecarFile(configFile, env);
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(set);
  if (!parsed.success) {
    throw new SidecarError(
      parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`).join('\n'),
    );
  }
  const given = parsed.data;
  const name = given.SEVER_SIDECAR_NAME ?? file?.name ?? 'sidecar';
  const ownMode = given.SEVER_MODE ?? file?.mode ?? 'strict';
  const upstreams = withMode(ownMode, file?.upstreams ?? []);
  return {
    url: given.SEVER_URL ?? 'http://127.0.0.1:7400',
    enrolmentKey: given.SEVER_ENROLMENT_KEY,
    name,
    mode: weakestMode(ownMode, upstreams),
    ownMode,
    transport: given.SEVER_TRANSPORT ?? 'auto',
    host: given.SEVER_SIDECAR_HOST ?? '127.0.0.1',
    port: given.SEVER_SIDECAR_PORT ?? 7410,
    ...(given.SEVER_SIDECAR_GRPC_PORT !== undefined && { grpcPort: given.SEVER_SIDECAR_GRPC_PORT }),
    keyDirectory: join(given.SEVER_DATA_DIR ?? defaultDataDirectory(), 'ep', name),
    upstreams,
    records: file?.records ?? { arguments: 'hash', redact: [] },
    accept: file?.accept ?? [],
  };
}

function defaultDataDirectory(): string {
  return process.getuid?.() === 0 ? '/var/lib/sever' : '.sever';
}
