import type { Problem } from '@sever/protocol';

/** How a refusal reads in the protocol that the agent speaks. */
export interface RefusalForm {
  readonly contentType: string;
  /** The whole response. */
  body(problem: Problem): string;
  /** The last of a stream of server-sent events, its end included. */
  lastEvent(problem: Problem): string;
}
