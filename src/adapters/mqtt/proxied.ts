// Reads the header of a proxy from the start of a connection.

import type { Socket } from 'node:net';
import type { ConnectionError } from '../../core/index.js';
import { type ProxyHeader, readProxyHeader } from './proxy-header.js';

/** What follows the header is put back, and `socket` paused; one of the two is called once, unless the socket closes before. */
export function takeProxyHeader(socket: Socket, done: (header: ProxyHeader) => void, failed: (error: ConnectionError) => void): void {
  let bytes: Buffer | null = null;
  const onData = (chunk: Buffer): void => {
    bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
    let header: ProxyHeader | null;
    try {
      header = readProxyHeader(bytes);
    } catch (error) {
      socket.off('data', onData);
      failed(error as ConnectionError);
      return;
    }
    if (header === null) return;
    socket.off('data', onData);
    socket.pause();
    if (bytes.length > header.bytes) socket.unshift(bytes.subarray(header.bytes));
    done(header);
  };
  socket.on('data', onData);
}
