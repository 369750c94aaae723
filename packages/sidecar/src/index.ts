export { checkConfig, type ConfigReport } from './check-config';
export { sidecarFileSchema } from './config/json-schema';
export type { Enforcer } from './enforcer';
export type { ExchangeLimits } from './relay/exchange';
export { runSidecar, type RunningSidecar, type SidecarIo } from './run-sidecar';
export { readSettings, type Settings } from './settings';
export { Sidecar, type SidecarParts } from './sidecar';
export { SidecarError } from './sidecar-error';
export {
  UPSTREAM_KINDS,
  type AcceptedIssuer,
  type CallRecording,
  type Upstream,
} from './sidecar-file';
