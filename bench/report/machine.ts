import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { natsServerBinary } from '../../src/embedded/nats-server';

export interface MachineFacts {
  readonly at: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
  readonly natsServer: string;
  /** Average of the last minute before the run. More than a few tenths: others were at work, and times are too long. */
  readonly loadBefore: number;
}

export function machineFacts(): MachineFacts {
  return {
    at: new Date().toISOString(),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform}/${process.arch}`,
    node: process.version,
    natsServer: execFileSync(natsServerBinary(), ['-v'], { encoding: 'utf8' }).trim(),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}
