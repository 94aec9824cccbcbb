// Heads of requests and responses: refuses requests that Node's parser accepts but two readers could understand differently, and keeps
// responses from being run as pages.

import type { IncomingMessage, ServerResponse } from 'node:http';

/** Largest number of header lines. */
const HEADERS_MAX = 100;
/** Node leaves out those beyond this; one more than are allowed shows that there are too many. */
export const HEADERS_KEPT = HEADERS_MAX + 1;
/** Decisions hang on them, and of two of a name node shows the first alone. */
const SINGLE: readonly string[] = ['host', 'origin'];

/** Nothing that the gateway itself answers is a page, and no page may hold it. */
const SAFE_HEADERS: ReadonlyMap<string, string> = new Map([
  ['x-content-type-options', 'nosniff'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
]);

/** The status that a request is refused with because of its head; null: it is fine. */
export function headFault({ rawHeaders, headers }: IncomingMessage): 400 | 431 | null {
  if (rawHeaders.length > 2 * HEADERS_MAX) return 431;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 400;
  return SINGLE.some((name) => isRepeated(name, rawHeaders)) ? 400 : null;
}

function isRepeated(name: string, rawHeaders: readonly string[]): boolean {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string;
    if (given.length === name.length && given.toLowerCase() === name) count += 1;
  }
  return count > 1;
}

/** To be called before the head of the answer is written. */
export function makeSafe(response: ServerResponse): void {
  response.setHeaders(SAFE_HEADERS as Map<string, string>);
}
