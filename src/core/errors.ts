// The error table: every code the gateway answers or ends a connection with, and what the peer should do about it.
// Codecs map these codes to their wire form; nothing branches on message text.

import type { EndReason } from './security/policy.js';

/**
 * Codes that answer one request; the connection lives on.
 * `retry` says whether the same request may succeed later without any change.
 */
export const REQUEST_ERRORS = {
  INVALID_PATH: { retry: false, advice: 'correct the path or pattern' },
  UNKNOWN_OPERATION: { retry: false, advice: 'use an operation that the protocol page lists' },
  NOT_AUTHENTICATED: { retry: false, advice: 'log in first' },
  LOGIN_REFUSED: { retry: false, advice: 'these credentials are known, but not accepted here' },
  ACCOUNT_LOCKED: { retry: true, advice: 'log in again when the account is no longer locked' },
  ACCESS_DENIED: { retry: false, advice: 'ask an administrator for the right' },
  NOT_FOUND: { retry: false, advice: 'create the record first' },
  CONFLICT: { retry: false, advice: 'read the record again and repeat the change on what it holds now' },
  INVALID_REQUEST: { retry: false, advice: 'correct the request' },
  UNSUPPORTED: { retry: false, advice: 'this gateway does not offer the feature' },
  OUT_OF_HISTORY: { retry: false, advice: 'ask for a later moment, or have more history kept' },
  LIMIT_EXCEEDED: { retry: false, advice: 'ask for less, or have the named limit raised' },
  TIMEOUT: { retry: true, advice: 'repeat the request' },
  OVERLOADED: { retry: true, advice: 'repeat the request later' },
  STORE_FAILED: { retry: true, advice: 'the change may or may not be kept: read, then repeat' },
  INTERNAL: { retry: false, advice: 'report it with the line that the log has about it; nothing was changed' },
} as const;

/** Codes that end a connection. `reconnect` says whether the peer should come back by itself. */
export const CONNECTION_ERRORS = {
  MALFORMED_FRAME: { reconnect: false, advice: 'the bytes are not of the protocol' },
  FRAME_TOO_LARGE: { reconnect: false, advice: 'send smaller frames, or have the limit raised' },
  UNSUPPORTED_VERSION: { reconnect: false, advice: 'use a protocol version that the protocol page lists' },
  SLOW_CONSUMER: { reconnect: true, advice: 'read faster or subscribe to less' },
  CONNECT_TIMEOUT: { reconnect: true, advice: 'finish the handshake in time' },
  PEER_SILENT: { reconnect: true, advice: 'answer heartbeats' },
  TAKEN_OVER: { reconnect: false, advice: 'another connection uses the same client id' },
  SESSION_REVOKED: { reconnect: false, advice: 'log in again' },
  NOT_ALLOWED: { reconnect: false, advice: 'do without, or be given the right that the message names' },
  STORE_FAILED: { reconnect: true, advice: 'the store was reopened: resume the session' },
  INTERNAL: { reconnect: true, advice: 'report it with the line that the log has about it' },
  SHUTTING_DOWN: { reconnect: true, advice: 'the gateway is stopping' },
  DISMISSED: { reconnect: false, advice: 'the gateway is stopping, and nobody is expected back' },
} as const;

export type RequestErrorCode = keyof typeof REQUEST_ERRORS;
export type ConnectionErrorCode = keyof typeof CONNECTION_ERRORS;

/** One request failed. `message` is fit to be shown to the peer that asked; it holds no secret and no stack. */
export class RequestError extends Error {
  constructor(
    readonly code: RequestErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'RequestError';
  }

  get retry(): boolean {
    return REQUEST_ERRORS[this.code].retry;
  }
}

/** Refused because of what the session's policy says, not for lack of the user's right. */
export class PolicyRefusal extends RequestError {
  constructor(message: string) {
    super('ACCESS_DENIED', message);
  }
}

/** A session's policy lets it do nothing any more: the request is refused, and then the session ends. */
export class SessionOver extends PolicyRefusal {
  constructor(
    message: string,
    readonly reason: EndReason,
  ) {
    super(message);
  }
}

/** A token was good and is no more, because its time is over. */
export class TokenExpired extends RequestError {
  constructor(
    /** Name of the user whose it was. */
    readonly user: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super('NOT_AUTHENTICATED', message, options);
  }
}

/** A transaction was not done because of one of its operations, by its place from 0. */
export class TransactionError extends RequestError {
  constructor(
    cause: RequestError,
    readonly operation: number,
  ) {
    super(cause.code, `operation ${operation}: ${cause.message}`, { cause });
  }
}

/** One connection ends. `message` goes to the log, and to the peer where its protocol has a place for it. */
export class ConnectionError extends Error {
  constructor(
    readonly code: ConnectionErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ConnectionError';
  }

  get reconnect(): boolean {
    return CONNECTION_ERRORS[this.code].reconnect;
  }
}

/** The gateway ends a session because of what its login or its user may do no more. */
export class SessionRevoked extends ConnectionError {
  constructor(readonly reason: EndReason) {
    super('SESSION_REVOKED', reason);
  }
}

/** What the connections of a gateway that stops end with: `reconnect` says whether its clients should come back by themselves. */
export function goodbye(reconnect: boolean): ConnectionError {
  const code = reconnect ? 'SHUTTING_DOWN' : 'DISMISSED';
  return new ConnectionError(code, CONNECTION_ERRORS[code].advice);
}

/** It comes to all connections, because the gateway stops. */
export function isGoodbye({ code }: ConnectionError): boolean {
  return code === 'SHUTTING_DOWN' || code === 'DISMISSED';
}

/** The gateway cannot start as configured (exit code 2). `message` is one line for a person. */
export class ConfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConfigError';
  }
}

/** The gateway cannot run here: port in use, directory locked, damaged store (exit code 1). One line for a person. */
export class StartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
  }
}
