import { describe, expect, it } from 'vitest';
import { hostOf, isLoopback, isLoopbackPeer, peerOf } from '../../../src/core/sockets/addresses.js';

describe('this machine', () => {
  it.each(['localhost', 'LocalHost', '127.0.0.1', '127.255.9.10', '::1', '[::1]'])('is %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['', '128.0.0.1', '127.1', '127.0.0.256', '127.0.0.1.example', '127.example', 'localhost.example', '::2', '0.0.0.0'])(
    'is not %j',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );

  it('is at the other end of connections from its addresses, IPv4 within IPv6 too', () => {
    for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) expect(isLoopbackPeer(address)).toBe(true);
    for (const address of ['', '128.0.0.1', '::ffff:10.0.0.1', 'fe80::1']) expect(isLoopbackPeer(address)).toBe(false);
  });
});

describe('who is at the other end', () => {
  it.each([
    ['198.51.100.7', '198.51.100.7:5123', '198.51.100.7'],
    ['::ffff:198.51.100.7', '198.51.100.7:5123', '198.51.100.7'],
    ['2001:db8::1:2', '[2001:db8::1:2]:5123', '2001:db8::1:2'],
  ])('at %s has the name %s, and its address is found in that', (remoteAddress, name, address) => {
    const peer = peerOf({ remoteAddress, remotePort: 5_123 });
    expect(peer).toBe(name);
    expect(hostOf(peer)).toBe(address);
  });

  it('is not known when it is gone', () => {
    expect(peerOf({ remoteAddress: undefined, remotePort: undefined })).toBe('?:0');
  });
});
