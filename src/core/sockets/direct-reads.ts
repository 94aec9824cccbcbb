// Direct reads: passes the bytes of a socket on without the stream's queue, and without the memory that Node allocates for each read
// (64 KiB, most of it released again): together these cost more than a small message does.

import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';

/** What one read brings at most, as in Node. */
const READ_BYTES = 64 * 1024;
/** All sockets read into this memory, one after the other. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);
/** What the last read brought: reads of one length often follow each other. */
let read = shared.subarray(0, 0);

/** What Node's net.Socket keeps of itself, and shows nobody. */
interface Inside {
  readonly _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null;
  [property: symbol]: unknown;
}

/**
 * `take` gets every chunk that comes, in order, as a listener of 'data' would, and may keep it; pausing, resuming, `unshift` and the
 * end work as ever. No other listener of 'data' hears of chunks that are handed over directly: there must be none.
 */
export function onBytes(socket: Socket, take: (chunk: Buffer) => void): void {
  if (!readsShared(socket, take)) pushesDirectly(socket, take);
  // What waits in the stream's queue.
  socket.on('data', take);
}

/** Node reads into memory of the caller (`onread` of net.Socket), but lets only who connects ask for it. False: not on this socket. */
function readsShared(socket: Socket, take: (chunk: Buffer) => void): boolean {
  const inside = socket as unknown as Inside;
  const handle = inside._handle;
  const buffer = keyOf(inside, 'kBuffer');
  const callback = keyOf(inside, 'kBufferCb');
  if (buffer === undefined || callback === undefined || handle?.constructor.name !== 'TCP' || handle.useUserBuffer === undefined)
    return false;
  inside[buffer] = shared;
  inside[callback] = (bytes: number): void => take(copyOf(bytes));
  handle.useUserBuffer(shared);
  return true;
}

function keyOf(inside: Inside, name: string): symbol | undefined {
  return Object.getOwnPropertySymbols(inside).find(({ description }) => description === name);
}

function copyOf(bytes: number): Buffer {
  if (read.length !== bytes) read = shared.subarray(0, bytes);
  const chunk = Buffer.allocUnsafe(bytes);
  chunk.set(read);
  return chunk;
}

/**
 * A socket gives its stream what it reads through `push`, as every Readable does. While the stream flows and nothing waits in its
 * queue, `take` is where the chunk would go; in all other cases the stream gets it. That also keeps the stream's own account of
 * reads right: it stops reading only in `push`, and begins again from there.
 */
function pushesDirectly(socket: Socket, take: (chunk: Buffer) => void): void {
  const push = socket.push;
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (chunk === null || socket.readableFlowing !== true || socket.readableLength > 0) return push.call(socket, chunk, encoding);
    take(chunk);
    return true;
  };
}
