import { problem } from '@sever/protocol';

export { NO_TOKEN, refusal, refusalOf, type Refusal } from '@sever/enforcement';

export const STOPPING = problem('unavailable', 'This sidecar is stopping');
