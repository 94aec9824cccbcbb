// Account: the login of one connection: who its client is, its password, its token, and their end.

import { randomBytes } from 'node:crypto';
import {
  type AdapterContext,
  type Credentials,
  type Identity,
  type Logins,
  type Permissions,
  RequestError,
  SecurityRequest,
} from '../../core/index.js';
import * as codec from './codec.js';
import { fieldsOf, isFields } from './fields.js';
import type { Handshake } from './handshake.js';
import type { Connection, Host } from './host.js';
import type { Liveness } from './liveness.js';
import type { Sink } from './session-layers.js';
import type { Subscriptions } from './subscriptions.js';
import { type Fields, type Frame, MESSAGES } from './wire.js';

const NONCE_BYTES = 32;

/** What a client is told of its login. */
export interface LoginAnswer {
  /** `publicKey`: where the user has one; `permissions`: the user's own, without those of groups. */
  readonly user: {
    readonly username: string;
    readonly custom_data: unknown;
    readonly userid: string;
    readonly publicKey?: string;
    readonly permissions: Permissions;
  };
  readonly timestamp: number;
  readonly origin: string;
  /** 1: for a connection. */
  readonly type: 1;
  readonly parentId: string;
  readonly token: string;
  readonly authType: 'default';
}

/** What else of the connection it is told by, or tells. */
export interface AccountParts {
  readonly handshake: Handshake;
  readonly liveness: Liveness;
  readonly subscriptions: Subscriptions;
}

export class Account {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #context: AdapterContext;
  readonly #parts: AccountParts;

  constructor(connection: Connection, host: Host, parts: AccountParts) {
    this.#connection = connection;
    this.#host = host;
    this.#context = host.context;
    this.#parts = parts;
  }

  /** Has to log in, and has not. */
  get isStranger(): boolean {
    return this.#context.logins !== null && this.#connection.identity.principal === null;
  }

  /** Throws INVALID_REQUEST without the key that a nonce would be used with. */
  sendNonce(frame: Frame): void {
    const nonce = newNonce(fieldsOf(frame.data, 'data'), this.#context.logins);
    this.#connection.answer(codec.encodeNonce(frame, this.#connection, nonce));
  }

  /** Throws INVALID_REQUEST. */
  login(frame: Frame): void {
    const connection = this.#connection;
    const { handshake, liveness } = this.#parts;
    const data = fieldsOf(frame.data, 'data');
    this.#enter(data).then(
      (login) => {
        if (connection.ending) return;
        connection.settle();
        this.#noteCluster(data.info);
        const text = handshake.sessionText(connection.id, this.#context.node.name, liveness.messages, data.info, login);
        connection.answer(codec.encodeOk(frame, connection, text));
      },
      (error: unknown) => {
        if (!connection.ending) connection.fail(frame, error);
      },
    );
  }

  async #enter(data: Fields): Promise<LoginAnswer | null> {
    const connection = this.#connection;
    const before = connection.identity;
    // At once: what ends logins has to find this one while its token is made.
    connection.identity = await this.#context.authenticate(credentialsIn(data), connection);
    try {
      const login = await loginAnswer(this.#context, connection.identity, connection.id);
      if (before.principal !== null && before.principal !== connection.identity.principal) this.#parts.subscriptions.end();
      return login;
    } catch (error) {
      connection.identity = before;
      throw error;
    }
  }

  #noteCluster(info: unknown): void {
    const { clusterMembers } = this.#host;
    if (isFields(info) && info.clusterName) clusterMembers.add(this.#connection);
    else clusterMembers.delete(this.#connection);
  }

  /** Throws INVALID_REQUEST. */
  changePassword(frame: Frame): void {
    const connection = this.#connection;
    const logins = this.#logins(frame);
    const { oldPassword, newPassword } = fieldsOf(frame.data, 'data');
    logins.changePassword(connection, oldPassword, newPassword).then(
      () => {
        if (!connection.ending) connection.answer(codec.encodeOk(frame, connection, 'null'));
      },
      (error: unknown) => {
        if (!connection.ending) connection.fail(frame, error);
      },
    );
  }

  /** A request of the session itself, so that it is answered before it ends. Throws INVALID_REQUEST. */
  revokeToken(frame: Frame): void {
    const connection = this.#connection;
    const revocation = this.#logins(frame).revocationOf(connection.identity);
    this.#context.submit(new SecurityRequest(connection, codec.requestId(frame), revocation, frame));
  }

  /** What older clients call it. They ask for it also where there is nothing to revoke. */
  revokeSession(frame: Frame): void {
    const connection = this.#connection;
    if (this.#context.logins === null) connection.answer(codec.encodeOk(frame, connection, 'null'));
    else this.revokeToken(frame);
  }

  writeRevoked(writer: Sink, frame: Frame, error: RequestError | null): void {
    const connection = this.#connection;
    writer.text(error === null ? codec.encodeOk(frame, connection, 'null') : codec.encodeError(frame, connection, error));
  }

  /** Throws INVALID_REQUEST where nobody has to log in. */
  #logins({ action }: Frame): Logins {
    const { logins } = this.#context;
    if (logins === null) throw new RequestError('INVALID_REQUEST', `Cannot ${action} Not Secure`);
    return logins;
  }
}

/** `session`: its id. Null where nobody has to log in. */
async function loginAnswer({ logins, directory, node }: AdapterContext, identity: Identity, session: string): Promise<LoginAnswer | null> {
  const { login, principal } = identity;
  if (logins === null || login === null || principal === null) return null;
  const { customData = {}, publicKey = null, permissions = {} } = directory.user(identity.name) ?? {};
  const key = publicKey === null ? {} : { publicKey };
  return {
    user: { username: identity.name, custom_data: customData, userid: principal.userId, ...key, permissions },
    timestamp: login.issued,
    origin: node.name,
    type: 1,
    parentId: login.parentId ?? session,
    token: await logins.tokenOf(identity, session),
    authType: 'default',
  };
}

function newNonce({ publicKey }: Fields, logins: Logins | null): string {
  if (logins !== null) return logins.nonce(publicKey);
  if (typeof publicKey !== 'string' || publicKey === '') throw new RequestError('INVALID_REQUEST', MESSAGES.noPublicKey);
  return randomBytes(NONCE_BYTES).toString('base64');
}

/** Only texts are credentials; an empty token is none. */
function credentialsIn(data: Fields): Credentials {
  const { username, password, token, publicKey, digest, authType, info } = data;
  return {
    ...(typeof username === 'string' ? { username } : {}),
    ...(typeof password === 'string' ? { password } : {}),
    ...(typeof token === 'string' && token !== '' ? { token } : {}),
    ...(typeof publicKey === 'string' ? { publicKey } : {}),
    ...(typeof digest === 'string' ? { digest } : {}),
    ...(typeof authType === 'string' ? { provider: authType } : {}),
    ...(isFields(info) ? { info } : {}),
  };
}
