import type { EnforcementPoint } from '@sever/enforcement';

interface Driver {
  message(kind: string, bytes: Uint8Array): void;
  report(): Promise<void>;
}

/**
 * Two looks inside an enforcement point that it has no openings for: when a message of the stream reached it, and
 * whether it sends receipts. The product's code runs as it is; both are laid around methods of the living object.
 *
 * @throws Error when the enforcement point is built otherwise by now: better no figure than a wrong one
 */
export class Inside {
  receipts = true;

  constructor(point: EnforcementPoint, onStream: () => void) {
    const driver = Reflect.get(point, 'driver') as Partial<Driver> | undefined;
    const { message, report } = driver ?? {};
    if (driver === undefined || message === undefined || report === undefined)
      throw new Error('the enforcement point has no driver with message() and report() any more');
    driver.message = (kind, bytes) => {
      if (kind === 'stream') onStream();
      message.call(driver, kind, bytes);
    };
    // Not signed either: what is compared with is an enforcement point that owes nobody an answer.
    driver.report = async () => (this.receipts ? await report.call(driver) : undefined);
  }
}
