// The scripts that web pages load from the happn port: a client for browsers, and its connection alone for pages that bring an
// original happn client along. A fixed map of names to bytes: what stands in a URL never becomes a file name.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpRoutes } from '../../core/index.js';

interface BrowserFile {
  readonly body: Buffer;
  readonly etag: string;
}

/** Takes the paths of the scripts. */
export function serveBrowserFiles(http: HttpRoutes): void {
  for (const [path, file] of browserFiles()) http.request(path, false, (request, response) => answer(request, response, file));
}

/** By URL path. Original clients ask for the connection under the first two names of it. */
export function browserFiles(): ReadonlyMap<string, BrowserFile> {
  const [connection, client] = [source('connection.js'), source('client.js')];
  const alone = script(connection, 'window.Primus ??= Connection;');
  return new Map([
    ['/browser_client', script(`${connection}\n${client}`, 'window.HappnClient = HappnClient;')],
    ['/browser_primus.js', alone],
    ['/primus/primus.js', alone],
  ]);
}

/** Comments that take whole lines stay here. */
function source(name: string): string {
  const text = readFileSync(new URL(`browser/${name}`, import.meta.url), 'utf8');
  return text.replace(/^ *\/\*\*[\s\S]*?\*\/\n/gm, '').replace(/^ *\/\/.*\n/gm, '');
}

function script(text: string, last: string): BrowserFile {
  const body = Buffer.from(`// Part of Trivium, MIT licence.\n(() => {\n'use strict';\n${text}\n${last}\n})();\n`);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
}

function answer(request: IncomingMessage, response: ServerResponse, { body, etag }: BrowserFile): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD', 'Content-Length': 0 });
    response.end();
    return;
  }
  const headers = {
    ETag: etag,
    // Kept by browsers, and asked after: a gateway of another release may stand behind the same address tomorrow.
    'Cache-Control': 'no-cache',
    // Nothing in it is secret, and pages of other origins are what it is for.
    'Access-Control-Allow-Origin': '*',
    'Cross-Origin-Resource-Policy': 'cross-origin',
  };
  if (namesTag(request.headers['if-none-match'] ?? '', etag)) {
    response.writeHead(304, headers);
    response.end();
    return;
  }
  response.writeHead(200, { ...headers, 'Content-Type': 'application/javascript; charset=utf-8', 'Content-Length': body.length });
  response.end(body);
}

function namesTag(header: string, etag: string): boolean {
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*');
}
