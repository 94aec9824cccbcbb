// How connections to a TLS port are lost before they are secure.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const LOSSES: readonly (readonly [string, (socket: Socket) => void])[] = [
  ['when the connection is closed', (socket) => void socket.end()],
  ['when it is reset', (socket) => void socket.resetAndDestroy()],
  ['when it is reset behind what is no TLS', (socket) => void socket.write('GET / HTTP/1.1\r\n\r\n', () => socket.resetAndDestroy())],
];

/** Loses a connection to this port of 127.0.0.1 that was accepted there; returns what the log calls it. */
export async function loseHandshake(port: number, lose: (socket: Socket) => void): Promise<string> {
  const lost = connect(port, '127.0.0.1');
  lost.on('error', () => lost.destroy());
  await once(lost, 'connect');
  const peer = `127.0.0.1:${lost.localPort}`;
  // Connections are accepted in their order: when this one is refused, the other one was accepted.
  const next = connect(port, '127.0.0.1');
  next.on('error', () => next.destroy());
  next.resume().end('no TLS');
  await once(next, 'close');
  lose(lost);
  lost.resume();
  return peer;
}
