import { problem } from '@sever/protocol';

export const STOPPING = problem('unavailable', 'This sidecar is stopping');
