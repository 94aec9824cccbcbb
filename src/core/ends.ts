// Ends: why the gateway ended connections, counted by protocol and code. What peers end themselves is not counted.

import type { Counters } from './counters.js';
import { type ConnectionError, type ConnectionErrorCode, isGoodbye } from './errors.js';

/** `protocol`: name of the adapter. */
export function countEnd(counters: Counters, protocol: string, error: ConnectionError): void {
  if (!isGoodbye(error)) count(counters, protocol, error.code);
}

/** A connection that the library for websockets ends because of what came over it. */
export function countWebsocketFault(counters: Counters, protocol: string, { code = '' }: Error & { readonly code?: string }): void {
  if (code.startsWith('WS_ERR_')) count(counters, protocol, TOO_LARGE.has(code) ? 'FRAME_TOO_LARGE' : 'MALFORMED_FRAME');
}

const TOO_LARGE: ReadonlySet<string> = new Set(['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'WS_ERR_TOO_MANY_BUFFERED_PARTS']);

function count(counters: Counters, protocol: string, code: ConnectionErrorCode): void {
  const name = `connections_ended_total{protocol="${protocol}",code="${code}"}`;
  counters.counter(name, 'Connections that the gateway ended, by protocol and reason').add();
}
