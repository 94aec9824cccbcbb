// Addresses of peers: one canonical text for each, and lists of them.

import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net';
import { plainAddress } from '../../core/index.js';

/** The usual text of an IP address: IPv6 compressed and in small letters, IPv4 within IPv6 as IPv4. Others stay as they are. */
export function normalAddress(address: string): string {
  if (!isIPv6(address)) return address;
  return plainAddress(new SocketAddress({ address, family: 'ipv6' }).address);
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
