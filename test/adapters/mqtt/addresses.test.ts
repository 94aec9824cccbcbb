import { describe, expect, it } from 'vitest';
import { AddressList, normalAddress } from '../../../src/adapters/mqtt/addresses.js';
import { networkOf } from '../../../src/core/index.js';

describe('an address', () => {
  it.each([
    ['198.51.100.7', '198.51.100.7', '198.51.100.7'],
    ['::ffff:198.51.100.7', '198.51.100.7', '198.51.100.7'],
    ['::FFFF:C633:6407', '198.51.100.7', '198.51.100.7'],
    ['2001:DB8:0:0:0:0:0:7', '2001:db8::7', '2001:db8:0:0'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:0:0:1::', '2001:db8:0:0:1::', '2001:db8:0:0'],
    ['::1', '::1', '0:0:0:0'],
    ['::', '::', '0:0:0:0'],
    ['nowhere', 'nowhere', 'nowhere'],
  ])('%s is %s and counts as %s', (text, normal, counted) => {
    expect(normalAddress(text)).toBe(normal);
    expect(networkOf(normal)).toBe(counted);
  });
});

describe('a list of addresses and networks', () => {
  const list = new AddressList(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', 'fe80::1']);

  it.each(['10.0.0.0', '10.255.255.255', '192.0.2.1', '2001:db8:ffff::1', 'fe80::1'])('has %s', (address) => {
    expect(list.has(address)).toBe(true);
  });

  it.each(['11.0.0.0', '192.0.2.2', '2001:db9::1', 'fe80::2', '', 'nowhere'])('has not %j', (address) => {
    expect(list.has(address)).toBe(false);
  });
});
