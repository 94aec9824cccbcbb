// Addresses of peers: one text for each, lists of them, and which of them count as one when connections are counted.

import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net';

const MAPPED = '::ffff:';
const IPV6_COUNTED_BITS = 64;

/** The usual text of an IP address: IPv6 compressed and in small letters, IPv4 within IPv6 as IPv4. Others stay as they are. */
export function normalAddress(address: string): string {
  if (!isIPv6(address)) return address;
  const usual = new SocketAddress({ address, family: 'ipv6' }).address;
  return usual.startsWith(MAPPED) && usual.includes('.') ? usual.slice(MAPPED.length) : usual;
}

/** What an address counts as: one site is given a whole /64 of IPv6 addresses. */
export function countedAddress(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return `${groups.slice(0, IPV6_COUNTED_BITS / 16).join(':')}::/${IPV6_COUNTED_BITS}`;
}

/** Addresses and networks (`10.0.0.0/8`). */
export class AddressList {
  readonly #list = new BlockList();

  constructor(items: readonly string[]) {
    for (const item of items) {
      const [address = '', bits] = item.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  /** `address` as `normalAddress` makes it. */
  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 6 ? 'ipv6' : 'ipv4');
  }
}
