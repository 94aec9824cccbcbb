// What a client says of itself, and what it is told of the gateway and of its session.

import { randomBytes } from 'node:crypto';
import { type AdapterContext, type Credentials, type Identity, type Logins, type Permissions, RequestError } from '../../core/index.js';
import { jsonText } from './codec.js';
import { isFields } from './fields.js';
import { endsBeforeLogin, type MergeForm, mergeFormFor, UNCONFIGURED, type Version, versionNamed } from './versions.js';
import { type Fields, MESSAGES } from './wire.js';

const NONCE_BYTES = 32;

/** What the upgrade said about the peer, as it appears in the answer to a login. */
export interface Peer {
  /** JSON text of the properties `headers`, `encrypted`, `address` and `url`. */
  readonly described: string;
  /** Address and port, for the log. */
  readonly address: string;
  /** Name of the cookie that browsers keep their token in, for this connection and for HTTP. */
  readonly cookieName: string;
}

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

/** `session`: its id. */
export async function loginAnswer(
  { logins, directory, node }: AdapterContext,
  identity: Identity,
  session: string,
): Promise<LoginAnswer | null> {
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

export class Handshake {
  version: Version = UNCONFIGURED;
  /** What the client calls its protocol; version 1 has many names. */
  #protocolName: string = UNCONFIGURED.protocol;
  /** As the client told it; null: it told nothing. */
  #clientVersion: string | null = null;
  #browser = false;
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** Takes what a `configure-session` says. Throws INVALID_REQUEST, and UNSUPPORTED for a protocol that is not spoken here. */
  configure(data: Fields): void {
    if (typeof data.protocol !== 'string') throw new RequestError('INVALID_REQUEST', 'data.protocol must be a string');
    const version = versionNamed(data.protocol);
    if (version === null) throw new RequestError('UNSUPPORTED', `the protocol ${data.protocol.slice(0, 40)} is not spoken here`);
    this.version = version;
    this.#protocolName = data.protocol.slice(0, 64);
    this.#clientVersion = typeof data.version === 'string' ? data.version.slice(0, 64) : 'unknown';
    this.#browser = data.browser === true;
  }

  get mergeForm(): MergeForm {
    return mergeFormFor(this.version, this.#clientVersion);
  }

  /** A request for data before a login ends the connection. */
  get endsBeforeLogin(): boolean {
    return endsBeforeLogin(this.version, this.#clientVersion);
  }

  /** The gateway as a `describe` is answered, as JSON text. */
  gatewayText(name: string, secure: boolean): string {
    const about = { name, secure };
    return jsonText(this.#browser ? { cookieName: this.#peer.cookieName, ...about } : about);
  }

  /**
   * The session as a login is answered, as JSON text. `messages`: how many came of it; `info`: what the client said of itself; `login`:
   * what stands for the login, null where nobody has to log in.
   */
  sessionText(id: string, gateway: string, messages: number, info: unknown, login: LoginAnswer | null): string {
    const { described, cookieName } = this.#peer;
    const happn = jsonText({ name: gateway, secure: login !== null });
    const version = this.#clientVersion === null ? '' : `,"version":${jsonText(this.#clientVersion)}`;
    const shown = info === undefined ? '' : `,"info":${jsonText(info)}`;
    return (
      `{"msgCount":${messages},"id":"${id}","protocol":${jsonText(this.#protocolName)},"happn":${happn},` +
      `${described}${version}${shown}${login === null ? '' : `,${jsonText({ cookieName, ...login }).slice(1, -1)}`}}`
    );
  }
}

/** Throws INVALID_REQUEST without the key that it would be used with. */
export function newNonce({ publicKey }: Fields, logins: Logins | null): string {
  if (logins !== null) return logins.nonce(publicKey);
  if (typeof publicKey !== 'string' || publicKey === '') throw new RequestError('INVALID_REQUEST', MESSAGES.noPublicKey);
  return randomBytes(NONCE_BYTES).toString('base64');
}

/** Only texts are credentials; an empty token is none. */
export function credentialsIn(data: Fields): Credentials {
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
