export { buildProgram } from './build-program';
export { processIo, type CliIo, type TextSink } from './cli-io';
export { allPages } from './client/all-pages';
export { connectLive, type LiveOptions, type LiveSocket } from './client/connect-live';
export {
  ConnectionError,
  ProblemResponseError,
  SeverClientError,
  UnexpectedReplyError,
  type ReceivedProblem,
} from './client/errors';
export {
  SeverClient,
  type CallOptions,
  type KillOptions,
  type PageQuery,
  type SeverClientOptions,
} from './client/sever-client';
export type { HttpReply } from './client/http-connection';
export { runDrill, type DrillOptions, type DrillResult } from './drill/run-drill';
export type { PointResult, Verdict } from './drill/verdict';
export { EXIT, exitCodeOf } from './exit-code';
export { terminalText } from './output/terminal-text';
export { run } from './run';
