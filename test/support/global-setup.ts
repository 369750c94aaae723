import type { Embedded } from '../../src/embedded/start-embedded';
import { startCluster } from './cluster';

declare global {
  // eslint-disable-next-line no-var -- only `var` declares a global; Jest hands nothing else from setup to teardown
  var severTestCluster: Embedded | undefined;
}

export default async function globalSetup(): Promise<void> {
  globalThis.severTestCluster = await startCluster();
}
