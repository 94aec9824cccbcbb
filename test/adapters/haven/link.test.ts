// What a link knows of the connection below it, and hands to one whose peer does not keep up.

import type { Socket } from 'node:net';
import { Duplex, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { type Link, TcpLink, WebsocketLink } from '../../../src/adapters/haven/link.js';
import { hostOf } from '../../../src/core/index.js';

const SLAB_BYTES = 64 * 1024;

it.each([
  ['10.0.0.1', '10.0.0.1:5123', '10.0.0.1'],
  ['::ffff:10.0.0.2', '10.0.0.2:5123', '10.0.0.2'],
  ['2001:db8::7', '[2001:db8::7]:5123', '2001:db8::7'],
])('a peer at %s is %s, and its address %s', (remoteAddress, name, address) => {
  const { peer } = new TcpLink({ remoteAddress, remotePort: 5_123, localAddress: '::1' } as Socket);
  expect(peer).toBe(name);
  expect(hostOf(peer)).toBe(address);
});

/** A socket that never gets rid of what it was given, and what that was. */
function stuckSocket(): { link: Link; given: Buffer[] } {
  const given: Buffer[] = [];
  const socket = new Writable({ write() {} });
  const write = socket.write.bind(socket) as (chunk: Buffer) => boolean;
  socket.write = (chunk: Buffer): boolean => {
    given.push(chunk);
    return write(chunk);
  };
  return { link: new TcpLink(socket as Socket), given };
}

function stuckWebsocket(): { link: Link; given: Buffer[] } {
  const given: Buffer[] = [];
  const websocket = {
    readyState: 1,
    OPEN: 1,
    bufferedAmount: 0,
    send(bytes: Buffer): void {
      given.push(bytes);
      this.bufferedAmount += bytes.length;
    },
  };
  return { link: new WebsocketLink(websocket as unknown as WebSocket, new Duplex(), '', ''), given };
}

describe('what waits for a peer', () => {
  it.each([
    ['a socket', stuckSocket],
    ['a websocket', stuckWebsocket],
  ])('keeps alive no memory that is much larger than it is (%s)', (_name, stuck) => {
    const { link, given } = stuck();
    const slab = Buffer.allocUnsafeSlow(SLAB_BYTES).fill('x');
    const parts = [slab.subarray(0, 100), slab.subarray(100, 300), slab.subarray(300, 60_000), slab.subarray(60_000)];
    for (const part of parts) {
      link.cork();
      link.send(part);
      link.uncork();
    }
    expect(Buffer.concat(given)).toEqual(slab);
    // What is sent while nothing waits goes on its way as it is.
    expect(given.map(({ buffer }) => buffer.byteLength)).toEqual([SLAB_BYTES, 200, SLAB_BYTES, 5_536]);
  });
});
