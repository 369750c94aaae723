import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnforcementPoint, type ConnectOptions } from '../../src';
import { ScriptedControlPlane } from './scripted-control-plane';

/** A scripted control plane on a real broker, and enforcement points that end with each test. */
export interface Scene {
  readonly plane: ScriptedControlPlane;
  /** For key directories that a test names itself. */
  readonly folder: string;
  connected(options?: Partial<ConnectOptions>): Promise<EnforcementPoint>;
}

/** Sets the scene for all tests of a file. The control plane exists from the first `beforeAll` on. */
export function setScene(): Scene {
  let plane: ScriptedControlPlane;
  let folder: string;
  let open: EnforcementPoint[] = [];
  let named = 0;

  beforeAll(async () => {
    plane = await ScriptedControlPlane.start();
    folder = mkdtempSync(join(tmpdir(), 'sever-ep-'));
  });

  afterEach(async () => {
    plane.behave();
    plane.broker.thaw();
    await Promise.all(open.map((ep) => ep.close()));
    open = [];
  });

  afterAll(async () => {
    await plane.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  return {
    get plane() {
      return plane;
    },
    get folder() {
      return folder;
    },
    async connected(options: Partial<ConnectOptions> = {}) {
      named += 1;
      const ep = await EnforcementPoint.connect({
        url: plane.url,
        enrolmentKey: 'enrol-me',
        name: `ep-${named}`,
        keyDirectory: join(folder, `${named}`),
        timeoutMs: 10_000,
        ...options,
      });
      open.push(ep);
      return ep;
    },
  };
}
