// listen: opens a server's port, turns the system's refusals into one line for a person, and keeps later ones harmless.

import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { Listening, Log } from '../adapter.js';
import { StartError } from '../errors.js';

/**
 * Accepts when this resolves. `key` is the configuration key of the port, for the line. Rejects with StartError.
 * What goes wrong afterwards (no file handles left for another connection) is logged and ends nothing.
 */
export async function listen(
  server: Server,
  at: { readonly host: string; readonly port: number },
  key: string,
  log: Log,
): Promise<Listening> {
  try {
    server.listen({ host: at.host, port: at.port });
    await once(server, 'listening');
  } catch (error) {
    throw new StartError(refusal(error as NodeJS.ErrnoException, at, key), { cause: error });
  }
  server.on('error', (error) => log.error({ err: error, key }, 'a listener failed to accept'));
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

function refusal(error: NodeJS.ErrnoException, at: { readonly host: string; readonly port: number }, key: string): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `${key}: port ${at.port} on ${at.host} is in use by another program`;
    case 'EACCES':
      return `${key}: this user may not listen on port ${at.port}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${key}: ${at.host} is not an address of this machine`;
    default:
      return `${key}: cannot listen on ${at.host} port ${at.port}: ${error.message}`;
  }
}
