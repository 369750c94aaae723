import type { Kill } from '@sever/protocol';

/** 200 says that it is done, and is said of nothing else. */
export function statusOf(kill: Kill): 200 | 202 {
  return kill.state === 'contained' ? 200 : 202;
}
