// listen: opens a server's port and turns the system's refusals into one line for a person.

import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { type Listening, StartError } from '../core/index.js';

/** Accepts when this resolves. `key` is the configuration key that sets the port. Rejects with StartError. */
export async function listen(server: Server, at: { readonly host: string; readonly port: number }, key: string): Promise<Listening> {
  server.listen({ host: at.host, port: at.port });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new StartError(refusal(error as NodeJS.ErrnoException, at, key), { cause: error });
  }
  return { host: at.host, port: (server.address() as AddressInfo).port };
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
