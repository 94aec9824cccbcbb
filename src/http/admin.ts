// AdminListener: health, metrics and the admin API, on a port of its own. Checks Host and Origin of every request,
// so that neither web pages nor foreign host names reach it.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Listening, type Log, listen, REQUEST_ERRORS, type RequestErrorCode } from '../core/index.js';
import { API_PATH, BODY_MAX_BYTES } from './api/bounds.js';
import { HEADERS_KEPT, headFault, makeSafe } from './heads.js';
import { METRICS_TYPE, type Metrics } from './metrics.js';
import { isHostAllowed, isOriginAllowed, type OriginRule } from './origin.js';
import { endUnread } from './unread.js';

export interface AdminOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Names that a Host header may give beside the address itself. */
  readonly hosts: readonly string[];
  readonly headerTimeoutMs: number;
  /** A socket that takes nothing of an answer for so long is closed. */
  readonly answerTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** What /health says; `ok` decides between 200 and 503. */
export interface Health {
  readonly ok: boolean;
  readonly [detail: string]: unknown;
}

/** Answers requests below API_PATH; never rejects. */
export type ApiListener = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Refusal {
  readonly status: number;
  readonly code: RequestErrorCode;
  readonly reason: string;
}

/** Only pages from loopback; the list of the data listener does not count here. */
const ORIGINS: OriginRule = { listed: new Set() };

export class AdminListener {
  readonly #options: AdminOptions;
  readonly #health: () => Health;
  readonly #metrics: Metrics;
  readonly #loadApi: () => Promise<ApiListener>;
  #api: Promise<ApiListener> | null = null;
  readonly #log: Log;
  readonly #server: Server;

  /** `loadApi` is asked once, when the API is used for the first time: most gateways are never asked, and it is much to load. */
  constructor(options: AdminOptions, health: () => Health, metrics: Metrics, loadApi: () => Promise<ApiListener>, log: Log) {
    this.#options = options;
    this.#health = health;
    this.#metrics = metrics;
    this.#loadApi = loadApi;
    this.#log = log;
    this.#server = createServer({
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: options.headerTimeoutMs,
      requestTimeout: options.headerTimeoutMs,
      connectionsCheckingInterval: 1_000,
    });
    this.#server.maxHeadersCount = HEADERS_KEPT;
    this.#server.on('request', (request, response) => {
      endUnread(response, options.answerTimeoutMs, () =>
        log.info({}, 'an answer to an administrator was not read: its connection is ended'),
      );
      this.#answer(request, response).catch((error: unknown) => {
        this.#log.error({ err: error }, 'an admin request failed');
        if (!response.headersSent) sendJson(response, 500, failed('INTERNAL', REQUEST_ERRORS.INTERNAL.advice));
      });
    });
  }

  /** Accepts when this resolves. Rejects with StartError. */
  async listen(): Promise<Listening> {
    return await listen(this.#server, this.#options, { host: 'admin.host', port: 'admin.port' }, this.#log);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    makeSafe(response);
    const refusal = this.#refusal(request);
    if (refusal !== null) return sendJson(response, refusal.status, failed(refusal.code, refusal.reason));
    const path = (request.url as string).split('?', 1)[0] as string;
    if (path.startsWith(`${API_PATH}/`)) {
      this.#api ??= this.#loadApi();
      return (await this.#api)(request, response);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return sendJson(response, 405, failed('UNKNOWN_OPERATION', 'only GET is offered here'));
    }
    if (path === '/health') {
      const health = this.#health();
      return sendJson(response, health.ok ? 200 : 503, health);
    }
    if (path === '/metrics') {
      const text = await this.#metrics.text();
      response.writeHead(200, { 'content-type': METRICS_TYPE });
      response.end(text);
      return;
    }
    sendJson(
      response,
      404,
      failed('UNKNOWN_OPERATION', `there is nothing at ${path}; there are /health, /metrics and ${API_PATH}/openapi.json`),
    );
  }

  #refusal(request: IncomingMessage): Refusal | null {
    const { host, origin } = request.headers;
    const fault = headFault(request);
    if (fault !== null) return { status: fault, code: 'INVALID_REQUEST', reason: 'the head of the request is too large, or ambiguous' };
    if (!isHostAllowed(host, this.#options.host, this.#options.hosts))
      return { status: 403, code: 'ACCESS_DENIED', reason: 'the Host header does not name this listener' };
    if (!isOriginAllowed(origin, host, ORIGINS))
      return { status: 403, code: 'ACCESS_DENIED', reason: 'requests from pages of this Origin are refused' };
    if (request.method === 'GET' || request.method === 'HEAD') return null;
    // No page of another origin can send a DELETE without asking first (Origin).
    if (request.method === 'DELETE' && !hasBody(request)) return null;
    // A form on any page can send text or form data here, but not JSON.
    if (request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() !== 'application/json') {
      return { status: 415, code: 'INVALID_REQUEST', reason: 'send application/json' };
    }
    if (Number(request.headers['content-length'] ?? 0) > BODY_MAX_BYTES)
      return { status: 413, code: 'LIMIT_EXCEEDED', reason: `the body is larger than ${BODY_MAX_BYTES} bytes` };
    return null;
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

function failed(code: RequestErrorCode, message: string): object {
  return { error: { code, message } };
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    ...(status < 400 || status === 503 ? {} : { connection: 'close' }),
  });
  response.end(`${JSON.stringify(body)}\n`);
}
