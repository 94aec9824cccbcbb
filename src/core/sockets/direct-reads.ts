// Direct reads: the bytes of a socket go to who takes them without passing through the stream's queue, which costs about as
// much as a small message does.

import type { Socket } from 'node:net';

/**
 * `take` gets every chunk that comes, in order, as a listener of 'data' would; pausing, resuming, `unshift` and the end work as
 * ever. No other listener of 'data' hears of chunks that are handed over directly: there must be none.
 *
 * A socket gives its stream what it reads through `push`, as every Readable does. While the stream flows and nothing waits in its
 * queue, `take` is where the chunk would go; in all other cases the stream gets it. That also keeps the stream's own account of
 * reads right: it stops reading only in `push`, and begins again from there.
 */
export function onBytes(socket: Socket, take: (chunk: Buffer) => void): void {
  const push = socket.push;
  socket.on('data', take);
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (chunk === null || socket.readableFlowing !== true || socket.readableLength > 0) return push.call(socket, chunk, encoding);
    take(chunk);
    return true;
  };
}
