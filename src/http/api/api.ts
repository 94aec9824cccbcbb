// The admin API below /api/v1: finds the operation, checks the caller and the request, and answers in JSON. Whether a
// request may reach it at all (Host, Origin, content type) has been checked by the admin listener.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import {
  ADMIN,
  isLoopbackPeer,
  type Log,
  NOBODY,
  REQUEST_ERRORS,
  RequestError,
  type RequestErrorCode,
  THE_GATEWAY,
} from '../../core/index.js';
import type { Administration, Caller } from './administration.js';
import { API_PATH, BODY_MAX_BYTES } from './bounds.js';
import { INSIGHT } from './insight.js';
import { LOOKUP_TABLES } from './lookup-tables.js';
import { describeApi } from './openapi.js';
import { done, type Operation, operation } from './operation.js';
import { PERMISSIONS } from './permissions.js';
import { description } from './schemas.js';
import { SESSIONS, TOKENS } from './sessions.js';
import { GROUPS, USERS } from './users.js';

/** When somebody who was refused for now may come back. */
const RETRY_AFTER_SECONDS = 2;

/** What the codes of the core are to HTTP. */
const STATUS: Readonly<Record<RequestErrorCode, number>> = {
  INVALID_PATH: 400,
  INVALID_REQUEST: 400,
  NOT_AUTHENTICATED: 401,
  LOGIN_REFUSED: 403,
  ACCOUNT_LOCKED: 403,
  ACCESS_DENIED: 403,
  NOT_FOUND: 404,
  OUT_OF_HISTORY: 410,
  UNKNOWN_OPERATION: 404,
  CONFLICT: 409,
  LIMIT_EXCEEDED: 422,
  INTERNAL: 500,
  UNSUPPORTED: 501,
  OVERLOADED: 503,
  STORE_FAILED: 503,
  TIMEOUT: 504,
};

class BodyTooLarge extends RequestError {
  constructor() {
    super('LIMIT_EXCEEDED', `the body is larger than ${BODY_MAX_BYTES} bytes`);
  }
}

type Environment = { Bindings: HttpBindings };
type Asked = Context<Environment>;

/** Answers requests below API_PATH; never rejects. */
export function apiListener(
  house: Administration,
  version: string,
  log: Log,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const operations: Operation[] = [...USERS, ...GROUPS, ...PERMISSIONS, ...LOOKUP_TABLES, ...SESSIONS, ...TOKENS, ...INSIGHT];
  operations.push(descriptionOf(operations, version));
  const app = new Hono<Environment>().basePath(API_PATH);
  for (const one of operations) {
    app.on(one.method.toUpperCase(), one.path.replaceAll(/\{(\w+)\}/g, ':$1'), (asked) => serve(one, asked, house));
  }
  app.notFound((asked) => notFound(asked, operations));
  app.onError((error, asked) => refuse(asked, error, log));
  return getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: (error) => broken(error, log) });
}

function descriptionOf(operations: readonly Operation[], version: string): Operation {
  return operation({
    method: 'get',
    path: '/openapi.json',
    id: 'describe',
    tag: 'description',
    summary: 'This description.',
    access: 'anybody',
    query: null,
    body: null,
    answers: { 200: { description: 'OpenAPI 3.1.', schema: description } },
    run: () => done(describeApi(API_PATH, version, operations)),
  });
}

async function serve(one: Operation, asked: Asked, house: Administration): Promise<Response> {
  if (!isDecodable(asked.req.path)) throw new RequestError('INVALID_REQUEST', 'the path of the URL is not well quoted');
  const caller = await callerOf(asked, house, one.access);
  const query = one.query === null ? null : checked(one.query, queryOf(asked), 'the query');
  const body = one.body === null ? null : checked(one.body, await jsonOf(asked), 'the body');
  const call = { house, caller, params: asked.req.param() as Record<string, string>, query: query as never, body: body as never };
  const result = await one.run(call);
  return answer(asked, result.status, result.body);
}

/** Throws RequestError NOT_AUTHENTICATED or ACCESS_DENIED. */
async function callerOf(asked: Asked, house: Administration, access: Operation['access']): Promise<Caller> {
  const address = asked.env.incoming.socket.remoteAddress ?? '';
  if (access === 'anybody') return { identity: NOBODY, address };
  if (!house.secure) {
    // Whoever has this machine has the data directory as well.
    if (isLoopbackPeer(address)) return { identity: THE_GATEWAY, address };
    throw new RequestError('ACCESS_DENIED', 'while security is off, only this machine may ask');
  }
  const token = /^Bearer +(\S+)$/i.exec(asked.req.header('authorization') ?? '')?.[1];
  if (token === undefined) throw new RequestError('NOT_AUTHENTICATED', `a token is needed: POST ${API_PATH}/login gives one`);
  const identity = await house.loginByToken(token, address);
  if (identity.principal?.isAdministrator !== true) throw new RequestError('ACCESS_DENIED', `only members of ${ADMIN} may ask`);
  return { identity, address };
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    // What stands there is quoted, and stands for no text.
    return false;
  }
}

function queryOf(asked: Asked): Record<string, string> {
  const given = asked.req.queries();
  const twice = Object.keys(given).find((name) => (given[name] as string[]).length > 1);
  if (twice !== undefined) throw new RequestError('INVALID_REQUEST', `the query has ${twice.slice(0, 64)} more than once`);
  return asked.req.query();
}

async function jsonOf(asked: Asked): Promise<unknown> {
  const text = await textOf(asked.env.incoming);
  try {
    return JSON.parse(text, withoutProto);
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError('INVALID_REQUEST', 'the body is no JSON', { cause: error });
  }
}

/** The key would be lost on the way, and with it what a permission forbids. */
function withoutProto(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new RequestError('INVALID_REQUEST', 'the body: no key may be __proto__');
  return value;
}

/** Whatever its length was said to be. */
async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_MAX_BYTES) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function checked(schema: z.ZodType, given: unknown, what: string): unknown {
  const { success, data, error } = schema.safeParse(given);
  if (success) return data;
  const [issue] = error.issues;
  const place = (issue?.path ?? []).map((part) => `.${String(part)}`).join('');
  throw new RequestError('INVALID_REQUEST', `${what}${place.slice(0, 256)}: ${(issue?.message ?? 'is not allowed').slice(0, 512)}`);
}

/** Nobody is there, or something that is asked in another way. */
function notFound(asked: Asked, operations: readonly Operation[]): Response {
  const path = asked.req.path.slice(API_PATH.length);
  const methods = operations
    .filter((one) => new RegExp(`^${one.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path))
    .map(({ method }) => method);
  if (methods.length === 0) return answer(asked, 404, failed('UNKNOWN_OPERATION', `there is nothing at ${asked.req.path}`));
  asked.header('allow', methods.join(', ').toUpperCase());
  return answer(asked, 405, failed('UNKNOWN_OPERATION', `${asked.req.method} is not offered here`));
}

function refuse(asked: Asked, error: Error, log: Log): Response {
  if (!(error instanceof RequestError)) {
    log.error({ err: error, path: asked.req.path }, 'a request of an administrator failed');
    return answer(asked, 500, failed('INTERNAL', REQUEST_ERRORS.INTERNAL.advice));
  }
  if (error.code === 'NOT_AUTHENTICATED') asked.header('www-authenticate', 'Bearer');
  if (error.code === 'OVERLOADED') asked.header('retry-after', String(RETRY_AFTER_SECONDS));
  if (error instanceof BodyTooLarge) asked.header('connection', 'close');
  return answer(asked, error instanceof BodyTooLarge ? 413 : STATUS[error.code], failed(error.code, error.message));
}

function failed(code: RequestErrorCode, message: string): object {
  return { error: { code, message } };
}

function answer(asked: Asked, status: number, body: object | null): Response {
  asked.header('cache-control', 'no-store');
  if (body === null) return asked.body(null, 204);
  asked.header('content-type', 'application/json; charset=utf-8');
  return asked.body(`${JSON.stringify(body)}\n`, status as 200);
}

/** What the server itself could not read or write. */
function broken(error: unknown, log: Log): Response {
  log.warn({ err: error }, 'a request of an administrator could not be served');
  return new Response(null, { status: 400 });
}
