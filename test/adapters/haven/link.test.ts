// What a link knows of the connection below it.

import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { TcpLink } from '../../../src/adapters/haven/link.js';
import { hostOf } from '../../../src/core/index.js';

it.each([
  ['10.0.0.1', '10.0.0.1:5123', '10.0.0.1'],
  ['::ffff:10.0.0.2', '10.0.0.2:5123', '10.0.0.2'],
  ['2001:db8::7', '[2001:db8::7]:5123', '2001:db8::7'],
])('a peer at %s is %s, and its address %s', (remoteAddress, name, address) => {
  const { peer } = new TcpLink({ remoteAddress, remotePort: 5_123, localAddress: '::1' } as Socket);
  expect(peer).toBe(name);
  expect(hostOf(peer)).toBe(address);
});
