// Last words: what is said on a connection before it is ended.

import type { Duplex } from 'node:stream';

/** How long a peer may take to take them. */
const LINGER_MS = 2_000;

/** Says `text` behind what was said before, and is rid of the socket, whether its peer reads that, and closes its side, or not. */
export function endWith(socket: Duplex, text: string): void {
  const patience = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(patience));
  socket.end(text, () => socket.destroy());
}
