import {
  EnforcementPoint,
  EnrolmentRefusedError,
  type ConnectOptions,
  type Logger,
} from '@sever/enforcement';
import { watchConfig } from './config/watch-config';
import type { Enforcer } from './enforcer';
import { jsonLines } from './json-lines';
import { readSettings, type Settings } from './settings';
import { Sidecar } from './sidecar';
import { SidecarError } from './sidecar-error';

export interface RunningSidecar {
  readonly url: string;
  close(): Promise<void>;
}

/** What `runSidecar` needs of the process; `process` itself will do. */
export interface SidecarIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  on(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP', listener: () => void): unknown;
  exit(code: number): unknown;
}

type Connect = (options: ConnectOptions) => Promise<Enforcer>;

/**
 * Runs a sidecar until SIGTERM or SIGINT, which makes it refuse new calls, leave and exit with 0. SIGHUP, and a change of
 * the file, make it read its config again.
 *
 * Prints one line to `stdout`, `sever sidecar: listening on http://…`, once it holds its first snapshot and lease and
 * listens; everything else it says is one JSON object a line on `stderr`.
 *
 * @param argv `config`: path of a `sidecar.yaml`; without it only decisions are served.
 * @throws SidecarError whose message says what to do; the caller prints it and exits with 1.
 * @example
 * await runSidecar(process.env, { config: 'sidecar.yaml' }, process);
 */
export async function runSidecar(
  env: Readonly<Record<string, string | undefined>>,
  argv: { config?: string | undefined },
  io: SidecarIo,
  connect: Connect = (options) => EnforcementPoint.connect(options),
): Promise<RunningSidecar> {
  const settings = readSettings(env, argv.config);
  const logger = jsonLines(io.stderr);
  let sidecar: Sidecar | undefined;
  let stopped = 0;
  const onSignal = (): void => {
    stopped += 1;
    // Before there is anything to leave, and at a second signal, there is nothing to wait for.
    if (sidecar === undefined || stopped > 1) return void io.exit(sidecar === undefined ? 0 : 1);
    void sidecar.close().then(
      () => io.exit(0),
      (error: unknown) => {
        logger.error({ error: String(error) }, 'the sidecar did not stop cleanly');
        io.exit(1);
      },
    );
  };
  io.on('SIGTERM', onSignal);
  io.on('SIGINT', onSignal);
  const silence = (): void => {
    io.off('SIGTERM', onSignal);
    io.off('SIGINT', onSignal);
  };
  try {
    sidecar = await start(settings, logger, connect);
  } catch (error) {
    silence();
    throw error;
  }
  if (sidecar.grpcAddress !== undefined) {
    io.stdout.write(`sever sidecar: deciding over gRPC on ${sidecar.grpcAddress}\n`);
  }
  io.stdout.write(`sever sidecar: listening on ${sidecar.url}\n`);
  const running = sidecar;
  const unwatch =
    argv.config === undefined
      ? undefined
      : watchConfig(argv.config, io, () => running.reload(() => readSettings(env, argv.config)));
  const close = (): Promise<void> => {
    unwatch?.();
    return running.close().finally(silence);
  };
  return { url: running.url, close };
}

/** @throws SidecarError; whatever `connect` rejects with. */
async function start(settings: Settings, logger: Logger, connect: Connect): Promise<Sidecar> {
  const { url, enrolmentKey, name, mode, transport, keyDirectory } = settings;
  const abort = settings.upstreams.length > 0 ? 'stream' : 'none';
  const options: ConnectOptions = {
    ...{ url, enrolmentKey, name, mode, abort, transport, keyDirectory, logger },
  };
  const enforcer = await connect(options).catch((error: unknown) => {
    throw error instanceof EnrolmentRefusedError ? refused(error, url) : error;
  });
  enforcer.onAlarm((alarm) => logger.error({ alarm }, 'the enforcement point raised an alarm'));
  try {
    return await Sidecar.listen(settings, { enforcer, logger });
  } catch (error) {
    await enforcer.close();
    throw error;
  }
}

/** The control plane's own words, and before them the setting to look at. */
function refused(error: EnrolmentRefusedError, url: string): SidecarError {
  const { code, message } = error;
  const about =
    code === 'unauthenticated' || code === 'invalid_token' || code === 'forbidden'
      ? 'SEVER_ENROLMENT_KEY: the key is not one with which a sidecar enrols'
      : code === 'unknown' || code === 'not_found'
        ? 'SEVER_URL: what answers there is no control plane'
        : 'The control plane refuses to enrol this sidecar';
  return new SidecarError(`${about} (${url}): ${message}`, { cause: error });
}
