// AdminClient: calls the API of a running gateway. Failures are one line for a person, with an exit code.

import { readFileSync } from 'node:fs';
import { isLoopback } from '../core/sockets/addresses.js';
import { reasonOf } from '../system-error.js';

/** Where the admin listener is unless told otherwise. */
export const ADMIN_URL = 'http://127.0.0.1:55080';
const TIMEOUT_MS = 30_000;

/** 1: the gateway was not reached, or refused. 2: wrong command line. 3: the answer is no. */
export type ExitCode = 1 | 2 | 3;

/** Ends the command with one line for a person. */
export class CommandFailure extends Error {
  constructor(
    readonly exitCode: ExitCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CommandFailure';
  }
}

/** As commander reads them. */
export interface ConnectionFlags {
  readonly adminUrl?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

export type Query = Readonly<Record<string, string | number | undefined>>;
export type Json = Readonly<Record<string, unknown>>;

export class AdminClient {
  readonly #url: URL;
  readonly #token: string | null;

  /** Flags count before variables. Throws CommandFailure. */
  constructor(flags: ConnectionFlags, env: Readonly<Record<string, string | undefined>>) {
    this.#url = urlOf(flags.adminUrl ?? (env['TRIVIUM_ADMIN_URL'] || ADMIN_URL));
    this.#token = tokenOf(flags, env);
    if (this.#url.protocol === 'http:' && !isLoopback(this.#url.hostname)) {
      process.stderr.write('trivium: warning: http:// to another machine is not encrypted; use a tunnel\n');
    }
  }

  /** null: done, and there is nothing to tell. Rejects with CommandFailure. */
  async ask(method: string, path: readonly string[], given: { readonly query?: Query; readonly body?: object } = {}): Promise<Json | null> {
    const response = await this.#send(method, path, given);
    const text = await response.text();
    if (response.ok) return text === '' ? null : (parse(text) as Json);
    throw new CommandFailure(1, refusalOf(response.status, text, path));
  }

  /** As `ask`; null also when there is no such thing. */
  async find(method: string, path: readonly string[], given: { readonly body?: object } = {}): Promise<Json | null> {
    const response = await this.#send(method, path, given);
    const text = await response.text();
    if (response.ok) return parse(text) as Json;
    if (response.status === 404) return null;
    throw new CommandFailure(1, refusalOf(response.status, text, path));
  }

  /** All pages of a list. */
  async list<Item = Json>(path: readonly string[], name: string, query: Query): Promise<Item[]> {
    const items: Item[] = [];
    let after: string | undefined;
    do {
      const page = (await this.ask('GET', path, { query: { ...query, limit: 1_000, after } })) as Json;
      items.push(...(page[name] as Item[]));
      after = (page['next'] as string | null) ?? undefined;
    } while (after !== undefined);
    return items;
  }

  async #send(method: string, path: readonly string[], { query = {}, body }: { query?: Query; body?: object }): Promise<Response> {
    const url = new URL(`${this.#url.pathname.replace(/\/$/, '')}/api/v1/${path.map(encodeURIComponent).join('/')}`, this.#url);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    const headers: Record<string, string> = { 'content-type': 'application/json', accept: 'application/json' };
    if (this.#token !== null) headers['authorization'] = `Bearer ${this.#token}`;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      return await fetch(url, {
        method,
        headers,
        signal,
        redirect: 'error',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new CommandFailure(1, `cannot reach the gateway at ${this.#url.origin}: ${whyNot(error)}`, { cause: error });
    }
  }
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CommandFailure(2, `--admin-url: ${text} is no URL such as ${ADMIN_URL}`);
  }
  return url;
}

function tokenOf({ token, tokenFile }: ConnectionFlags, env: Readonly<Record<string, string | undefined>>): string | null {
  if (token !== undefined && tokenFile !== undefined) throw new CommandFailure(2, '--token and --token-file are both given; use only one');
  if (tokenFile !== undefined) return checkedToken(readText(tokenFile, '--token-file'));
  const text = token ?? env['TRIVIUM_TOKEN'];
  return text === undefined || text === '' ? null : checkedToken(text);
}

/** A header takes no other text. */
function checkedToken(text: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new CommandFailure(2, 'this is not a token: a token is one word');
  return token;
}

/** `-`: what is read from stdin. */
export function readText(file: string, flag: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CommandFailure(2, `${flag}: cannot read ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CommandFailure(1, 'the program that answers there is no Trivium gateway; see --admin-url', { cause: error });
  }
}

function refusalOf(status: number, text: string, [topic]: readonly string[]): string {
  const { code, message } = errorIn(text);
  if (code === undefined) return `the gateway answers ${status}; see --admin-url`;
  if (topic === 'login') return `${message}`;
  return code === 'NOT_AUTHENTICATED' ? `${message} (trivium login, then --token-file or TRIVIUM_TOKEN)` : `${message} (${code})`;
}

function errorIn(text: string): { readonly code?: string; readonly message?: string } {
  try {
    return (JSON.parse(text) as { error?: { code?: string; message?: string } }).error ?? {};
  } catch {
    // Something else than a gateway answered.
    return {};
  }
}

function whyNot(error: unknown): string {
  const { cause = error, name } = error as Error;
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1_000} s`;
  const isRefused = (cause as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  return `${reasonOf(cause)} (${isRefused ? 'is it running? ' : ''}see --admin-url)`;
}
