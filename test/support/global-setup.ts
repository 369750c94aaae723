import type { Embedded } from '../../src/embedded/start-embedded';
import { startCluster } from './cluster';

// Jest hands nothing else from setup to teardown.
declare global {
  var severTestCluster: Embedded | undefined;
}

export default async function globalSetup(): Promise<void> {
  globalThis.severTestCluster = await startCluster();
}
