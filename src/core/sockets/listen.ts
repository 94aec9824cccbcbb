// listen: opens a server's port, turns the system's refusals into one line for a person, and makes later errors harmless.

import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { Listening, Log } from '../adapter.js';
import { StartError } from '../errors.js';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Configuration keys of the two, for the line that says what is wrong. */
export interface ListenKeys {
  readonly host: string;
  readonly port: string;
}

/**
 * Connections that the system holds until they are accepted: it lets others wait for seconds, so a crowd should fit. The system has a
 * limit of its own (net.core.somaxconn), which counts if it is lower.
 */
const PENDING_CONNECTIONS = 65_535;

/** The system knows no such address, or knows it as that of another machine. */
const NOT_OURS: ReadonlySet<string | undefined> = new Set(['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']);

/**
 * Accepts when this resolves. Rejects with StartError, one line that names a key.
 * What goes wrong afterwards (no file handles left for another connection) is logged and ends nothing.
 */
export async function listen(server: Server, { host, port }: ListenAddress, keys: ListenKeys, log: Log): Promise<Listening> {
  try {
    server.listen({ host, port, backlog: PENDING_CONNECTIONS });
    await once(server, 'listening');
  } catch (error) {
    const { key, why } = listenFault(error as NodeJS.ErrnoException, { host, port }, keys);
    const advice = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? '; stop it, or choose another port' : '';
    throw new StartError(`${key}: ${why}${advice}`, { cause: error });
  }
  server.on('error', (error) => log.error({ err: error, key: keys.port }, 'a listener failed to accept'));
  const bound = server.address() as AddressInfo;
  return { host: bound.address, port: bound.port };
}

/** Why a port cannot be had, and the key whose value has to be another one. */
export function listenFault(error: NodeJS.ErrnoException, { host, port }: ListenAddress, keys: ListenKeys): { key: string; why: string } {
  if (NOT_OURS.has(error.code)) return { key: keys.host, why: `${host} is not an address of this machine` };
  if (error.code === 'EADDRINUSE') return { key: keys.port, why: `port ${port} on ${host} is in use by another program` };
  if (error.code === 'EACCES') return { key: keys.port, why: `this user may not listen on port ${port}` };
  return { key: keys.port, why: `cannot listen on ${host} port ${port}: ${error.message}` };
}
