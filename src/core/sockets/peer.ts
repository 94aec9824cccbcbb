// Peer: what the address at the other end of a connection says of it.

/** Whether it is this very machine; `address` as the system shows it, without a port. */
export function isLoopbackPeer(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}
