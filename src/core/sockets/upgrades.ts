// Upgrades: what adapters with websockets on the HTTP port need beside a websocket library.

import type { Duplex } from 'node:stream';
import { endWith } from './last-words.js';

const TOO_MANY = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n';

/** Tells who asked for a websocket to come back later. */
export function sendAway(socket: Duplex): void {
  endWith(socket, TOO_MANY);
}

/**
 * A websocket hands over whole messages alone: a peer of which little is known is not to fill memory with a large one. `tooMuch` is called
 * when more than `maxBytes` have come while it is `early`; when it is not any more, nothing is counted.
 */
export function limitEarlyBytes(socket: Duplex, maxBytes: number, early: () => boolean, tooMuch: () => void): void {
  let received = 0;
  const count = (chunk: Buffer): void => {
    received += chunk.length;
    const isEarly = early();
    if (isEarly && received <= maxBytes) return;
    socket.off('data', count);
    if (isEarly) tooMuch();
  };
  socket.on('data', count);
}
