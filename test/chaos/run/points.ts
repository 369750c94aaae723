import { join } from 'node:path';
import { CheckReply, SidecarState, type Mode, type Position } from '@sever/protocol';
import { EnforcementPoint } from '@sever/enforcement';
import { ChaosProxy } from '../proxy/chaos-proxy';
import type { HttpRequest } from '../proxy/http-requests';
import { Child } from './child';

const TOOL = 'chaos/tool';
const ANSWER_MS = 20_000;
const BOOTS = 3;

export interface Shown {
  readonly boot: string;
  readonly position: Position;
  readonly ready: boolean;
}
export interface Decided {
  readonly allowed: boolean;
  readonly stale: boolean;
  readonly code?: string;
}

/** An enforcement point under test, whichever way it is run: asked from outside, as its users ask. */
export interface Point {
  readonly id: string;
  readonly name: string;
  readonly mode: Mode;
  /** Its way to the control plane's HTTP interface; its way to the broker is told apart by its name there. */
  readonly road: ChaosProxy;
  /** @throws when it does not answer */
  show(): Promise<Shown>;
  /** @throws when it does not answer */
  check(token: string): Promise<Decided>;
  close(): Promise<void>;
}

export interface PointOptions {
  readonly name: string;
  readonly mode: Mode;
  readonly key: string;
  readonly folder: string;
  readonly planePorts: () => readonly number[];
  /** Told of every request on its way to the control plane. */
  readonly onRequest: (point: () => string, request: HttpRequest) => void;
}

/** The SDK inside this process. */
export class SdkPoint implements Point {
  private constructor(
    readonly name: string,
    readonly mode: Mode,
    readonly road: ChaosProxy,
    private readonly sdk: EnforcementPoint,
  ) {}

  static async start(options: PointOptions): Promise<SdkPoint> {
    const { name, mode, key, folder, planePorts, onRequest } = options;
    const road = await ChaosProxy.to(planePorts);
    road.observeRequests((request) => onRequest(() => sdk.state().id, request));
    const sdk = await EnforcementPoint.connect({
      url: `http://127.0.0.1:${road.port}`,
      enrolmentKey: key,
      keyDirectory: join(folder, `point-${name}`),
      ...{ name, mode },
    });
    return new SdkPoint(name, mode, road, sdk);
  }

  get id(): string {
    return this.sdk.state().id;
  }

  /** What it says of itself when it refuses everything for good; nothing in a run may bring it there. */
  get darkBecause(): string | null {
    return this.sdk.state().darkBecause;
  }

  async show(): Promise<Shown> {
    const { bootId: boot, epoch, applied: seq, ready } = this.sdk.state();
    return { boot, position: { epoch, seq }, ready };
  }

  async check(token: string): Promise<Decided> {
    const decision = await this.sdk.check(token, { tool: TOOL });
    if (decision.decision === 'allow') return { allowed: true, stale: decision.stale };
    return { allowed: false, stale: decision.stale, code: decision.code };
  }

  async close(): Promise<void> {
    await this.sdk.close();
    await this.road.close();
  }
}

/** The sidecar, as a process that can be frozen and killed. */
export class SidecarPoint implements Point {
  id = '';
  child!: Child;
  private url = '';

  private constructor(
    private readonly options: PointOptions,
    readonly road: ChaosProxy,
    private readonly onDeath: (why: string) => void,
  ) {}

  static async start(options: PointOptions, onDeath: (why: string) => void): Promise<SidecarPoint> {
    const point = new SidecarPoint(options, await ChaosProxy.to(options.planePorts), onDeath);
    point.road.observeRequests((request) => options.onRequest(() => point.id, request));
    await point.boot();
    point.id = (await point.state()).id;
    return point;
  }

  get name(): string {
    return this.options.name;
  }
  get mode(): Mode {
    return this.options.mode;
  }

  /** Another process with the same keys, started again if it cannot reach anybody for too long. */
  async boot(): Promise<void> {
    for (let attempt = 1; ; attempt += 1)
      try {
        this.child = await this.launch();
        this.url = this.child.found;
        return;
      } catch (error) {
        if (attempt === BOOTS) throw error;
      }
  }

  async show(): Promise<Shown> {
    const { boot_id: boot, epoch, applied: seq, ready } = await this.state();
    return { boot, position: { epoch, seq }, ready };
  }

  async check(token: string): Promise<Decided> {
    const response = await fetch(`${this.url}/check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, tool: TOOL }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const reply = CheckReply.parse(await response.json());
    if (reply.decision === 'allow') return { allowed: true, stale: reply.stale };
    return { allowed: false, stale: reply.stale, code: reply.code };
  }

  async close(): Promise<void> {
    await this.child.stop();
    await this.road.close();
  }

  private async launch(): Promise<Child> {
    const { name, mode, key, folder } = this.options;
    return await Child.start(
      {
        name: `sidecar ${name}`,
        args: [join('bin', 'sever.js'), 'sidecar'],
        env: {
          SEVER_URL: `http://127.0.0.1:${this.road.port}`,
          SEVER_ENROLMENT_KEY: key,
          SEVER_SIDECAR_NAME: name,
          SEVER_SIDECAR_PORT: '0',
          SEVER_MODE: mode,
          SEVER_DATA_DIR: join(folder, `sidecar-${name}`),
        },
        ready: /sever sidecar: listening on (http:\S+)/,
      },
      this.onDeath,
    );
  }

  private async state(): Promise<SidecarState> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return SidecarState.parse(await (await fetch(`${this.url}/state`, { signal })).json());
  }
}
