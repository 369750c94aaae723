import { io, type Socket } from 'socket.io-client';
import type { LiveEvents, LiveRequests } from '@sever/protocol';

/** A connection to the live gateway. `on('kill' | 'receipt' | 'agent')`, `on('connect')`, `disconnect()`. */
export type LiveSocket = Socket<LiveEvents, LiveRequests>;

export interface LiveOptions {
  /** Base URL of the control plane. */
  readonly url: string;
  /** API key; travels in the handshake. */
  readonly key: string;
  /** Longest pause between two attempts, milliseconds; default 5,000. */
  readonly reconnectMaxMs?: number;
}

/**
 * Connects to the live gateway, and again whenever the connection is lost. Attach listeners at once: the first attempt
 * starts on the next turn of the event loop. Nothing that happened while it was away is sent again, so read the present
 * state after every `connect`.
 *
 * A refused handshake ends with `connect_error` whose `data` is a problem; `socket.active` is then false and no other
 * attempt follows.
 */
export function connectLive({ url, key, reconnectMaxMs = 5_000 }: LiveOptions): LiveSocket {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  const socket: LiveSocket = io(base.origin, {
    path: `${base.pathname}socket.io`,
    transports: ['websocket'],
    auth: { token: key },
    forceNew: true,
    reconnectionDelay: Math.min(250, reconnectMaxMs),
    reconnectionDelayMax: reconnectMaxMs,
  });
  // socket.io takes a disconnection that the server ordered as final. A deploy orders one too: come back and let the
  // handshake say whether the key still holds.
  socket.on('disconnect', (reason) => {
    if (reason === 'io server disconnect') socket.connect();
  });
  return socket;
}
