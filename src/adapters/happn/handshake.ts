// What a client says about itself, and what it is told about the gateway and its session.

import { RequestError } from '../../core/index.js';
import type { LoginAnswer } from './account.js';
import { jsonText } from './codec.js';
import { endsBeforeLogin, type MergeForm, mergeFormFor, namesPaths, UNCONFIGURED, type Version, versionNamed } from './versions.js';
import type { Fields } from './wire.js';

/** What the upgrade said about the peer, as it appears in the answer to a login. */
export interface Peer {
  /** JSON text of the properties `headers`, `encrypted`, `address` and `url`. */
  readonly described: string;
  /** Address and port, for the log. */
  readonly address: string;
  /** Name of the cookie that browsers keep their token in, for this connection and for HTTP. */
  readonly cookieName: string;
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

  /** Records of which it sees chosen fields name their path all the same. */
  get namesPaths(): boolean {
    return namesPaths(this.#clientVersion);
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
