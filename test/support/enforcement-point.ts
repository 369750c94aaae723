import { join } from 'node:path';
import { EnforcementPoint, type ConnectOptions } from '@sever/enforcement';
import type { TestControlPlane } from './control-plane';
import { createRunFolder } from './run-folder';

/** A real enforcement point, enrolled with the bootstrap key. */
export function connectPoint(
  plane: TestControlPlane,
  name: string,
  options: Partial<ConnectOptions> = {},
): Promise<EnforcementPoint> {
  return EnforcementPoint.connect({
    url: plane.url,
    enrolmentKey: plane.key,
    name,
    keyDirectory: join(createRunFolder('test-point'), name),
    ...options,
  });
}
