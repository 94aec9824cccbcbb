// Peer: what the address at the other end of a connection says of it.

/** Whether it is this very machine; `address` as the system shows it, without a port. */
export function isLoopbackPeer(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** The address without the port that may stand behind it (`1.2.3.4:5`, `[::1]:5`). */
export function hostOf(address: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(address)?.[1];
  if (bracketed !== undefined) return bracketed;
  // An address of version 6 has more than one colon.
  return address.split(':').length === 2 ? address.slice(0, address.indexOf(':')) : address;
}
