// Unread answers: a peer that asks and does not take what it is answered holds its connection for so long and no longer.

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * To be called before the answer is written. `onEnded` is told when its connection was ended because nothing of it was taken for
 * `timeoutMs`. An answer of which nothing waits to be taken may come as late as its handler likes.
 */
export function endUnread(response: ServerResponse, timeoutMs: number, onEnded: () => void): void {
  response.on('timeout', (socket: Socket) => {
    if (socket.writableLength === 0) return;
    socket.destroy();
    onEnded();
  });
  response.setTimeout(timeoutMs);
}
