import { EventEmitter } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { EnrolmentRefusedError, type ConnectOptions } from '@sever/enforcement';
import { eventually } from '../../../test/support/eventually';
import { runSidecar, type SidecarIo } from '../src/run-sidecar';
import { ScriptedEnforcer } from './support/scripted-enforcer';

/** The little of a process that a sidecar touches. */
class Process extends EventEmitter implements SidecarIo {
  readonly out: string[] = [];
  readonly exits: number[] = [];
  readonly stdout = { write: (text: string) => this.out.push(text) };
  readonly stderr = { write: () => undefined };
  exit(code: number): void {
    this.exits.push(code);
  }
}

describe('running a sidecar', () => {
  const env = { SEVER_ENROLMENT_KEY: 'key', SEVER_SIDECAR_PORT: '0', SEVER_DATA_DIR: 'data' };
  let io: Process;
  let enforcer: ScriptedEnforcer;
  let connected: ConnectOptions[];
  const connect = (options: ConnectOptions): Promise<ScriptedEnforcer> => {
    connected.push(options);
    return Promise.resolve(enforcer);
  };
  beforeEach(() => {
    io = new Process();
    enforcer = new ScriptedEnforcer();
    connected = [];
  });

  it('says once where it listens, and only when its enforcement point is connected', async () => {
    let connectedNow: (enforcer: ScriptedEnforcer) => void = () => undefined;
    const starting = runSidecar(env, {}, io, (options) => {
      connected.push(options);
      return new Promise((resolve) => (connectedNow = resolve));
    });
    await eventually(() => expect(connected).toHaveLength(1));
    expect(io.out).toEqual([]);
    connectedNow(enforcer);
    const running = await starting;
    expect(io.out).toEqual([`sever sidecar: listening on ${running.url}\n`]);
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
    expect(connected[0]).toMatchObject({ name: 'sidecar', mode: 'strict', enrolmentKey: 'key' });
    await running.close();
    expect(enforcer.closed).toBe(true);
    expect(io.listenerCount('SIGTERM')).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT'])('leaves and exits with 0 at %s', async (signal) => {
    const { url } = await runSidecar(env, {}, io, connect);
    io.emit(signal);
    await eventually(() => expect(io.exits).toEqual([0]));
    expect(enforcer.closed).toBe(true);
    await expect(fetch(url)).rejects.toThrow();
  });

  it('can be interrupted while it waits for the control plane', () => {
    void runSidecar(env, {}, io, () => new Promise(() => undefined));
    io.emit('SIGINT');
    expect(io.exits).toEqual([0]);
  });

  it('gives up its enforcement point and says what to do when its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await eventually(() => expect(other.listening).toBe(true));
    const port = String((other.address() as AddressInfo).port);
    await expect(runSidecar({ ...env, SEVER_SIDECAR_PORT: port }, {}, io, connect)).rejects.toThrow(
      /EADDRINUSE.*SEVER_SIDECAR_PORT/s,
    );
    expect(enforcer.closed).toBe(true);
    expect(io.out).toEqual([]);
    other.close();
  });

  it.each([
    [401, 'unauthenticated', /^SEVER_ENROLMENT_KEY: .*http:\/\/127\.0\.0\.1:7400.*because$/],
    [403, 'forbidden', /^SEVER_ENROLMENT_KEY: /],
    [404, 'unknown', /^SEVER_URL: /],
    [403, 'enforcement_point_revoked', /^The control plane refuses .*because$/],
  ])('names the setting to look at when it is refused with %i %s', async (status, code, said) => {
    const refuse = (): Promise<never> =>
      Promise.reject(new EnrolmentRefusedError(status, code, 'because'));
    await expect(runSidecar(env, {}, io, refuse)).rejects.toThrow(said);
    expect(io.listenerCount('SIGTERM')).toBe(0);
  });

  it('does not connect with bad settings', async () => {
    await expect(runSidecar({}, {}, io, connect)).rejects.toThrow('SEVER_ENROLMENT_KEY');
    expect(connected).toEqual([]);
  });
});
