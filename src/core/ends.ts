// Ends: why the gateway ended connections, counted by protocol and code. What peers end themselves is not counted.

import type { Counters } from './counters.js';
import { ConnectionError, type ConnectionErrorCode, isGoodbye } from './errors.js';

/** `protocol`: name of the adapter. */
export function countEnd(counters: Counters, protocol: string, error: ConnectionError): void {
  if (!isGoodbye(error)) count(counters, protocol, error.code);
}

/** Why the library for websockets ends a connection, if it does because of what came over it. */
export function websocketFault({ code = '', message }: Error & { readonly code?: string }): ConnectionError | null {
  if (!code.startsWith('WS_ERR_')) return null;
  return new ConnectionError(TOO_LARGE.has(code) ? 'FRAME_TOO_LARGE' : 'MALFORMED_FRAME', message);
}

/** A connection that the library for websockets ends because of what came over it. */
export function countWebsocketFault(counters: Counters, protocol: string, error: Error): void {
  const fault = websocketFault(error);
  if (fault !== null) countEnd(counters, protocol, fault);
}

const TOO_LARGE: ReadonlySet<string> = new Set(['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'WS_ERR_TOO_MANY_BUFFERED_PARTS']);

function count(counters: Counters, protocol: string, code: ConnectionErrorCode): void {
  const name = `connections_ended_total{protocol="${protocol}",code="${code}"}`;
  counters.counter(name, 'Connections that the gateway ended, by protocol and reason').add();
}
