// Handshakes: does the TLS handshakes of one port, and finds the users in client certificates.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { type Counters, type Log, rawSocketOf } from '../../core/index.js';
import type { Visit } from './admission.js';
import { readText } from './codec.js';

export interface ClientCertificates {
  /** 'optional': one that is shown has to be good. */
  readonly clientCertificates: 'off' | 'optional' | 'required';
  /** What of a certificate names the user; 'none': nothing does, clients log in as everybody else. */
  readonly userFrom: 'none' | 'commonName';
}

interface Handshake {
  readonly visit: Visit;
  readonly begin: (secure: TLSSocket) => void;
  /** It is done, or the connection is over. */
  readonly end: () => void;
}

const TICKET_KEY_BYTES = 48;

export class Handshakes {
  readonly #options: ClientCertificates;
  readonly #server: Server;
  /** Those that are not done, by address and port of the raw socket. */
  readonly #open = new Map<string, Handshake>();
  /** Of raw sockets: a connection may be gone before it is known that its handshake failed. */
  readonly #peers = new WeakMap<Socket, string>();
  readonly #log: Log;
  readonly #counters: Counters;

  constructor(options: ClientCertificates & { readonly timeoutMs: number }, log: Log, counters: Counters) {
    this.#options = options;
    this.#log = log;
    this.#counters = counters;
    this.#server = createServer({
      handshakeTimeout: options.timeoutMs,
      requestCert: options.clientCertificates !== 'off',
      // Decided below, where it is known whose connection it is.
      rejectUnauthorized: false,
    });
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    this.#server.on('tlsClientError', (error, socket) => this.#onFailed(error, socket));
  }

  /** Certificate and authorities of new connections from now on. Nobody goes on with what earlier ones vouched for. */
  setSecureContext(options: SecureContextOptions): void {
    this.#server.setSecureContext(options);
    this.#server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
  }

  /** `begin` is called when the connection is secure and its client may come in; else it is ended. */
  take(socket: Socket, visit: Visit, begin: (secure: TLSSocket) => void): void {
    const key = keyOf(socket);
    const end = (): void => {
      this.#open.delete(key);
      socket.off('close', end);
    };
    this.#open.set(key, { visit, begin, end });
    this.#peers.set(socket, visit.peer);
    socket.on('close', end);
    this.#server.emit('connection', socket);
  }

  #onSecure(socket: TLSSocket): void {
    const handshake = this.#open.get(keyOf(socket));
    if (handshake === undefined) {
      socket.destroy();
      return;
    }
    const { visit, begin, end } = handshake;
    end();
    const fault = this.#identify(socket, visit);
    if (fault === null) return begin(socket);
    this.#refuse(visit.peer, fault);
    socket.destroy();
  }

  /** Why the client may not come in; null: it may. */
  #identify(socket: TLSSocket, visit: Visit): string | null {
    const { clientCertificates, userFrom } = this.#options;
    if (socket.getPeerX509Certificate() === undefined) return clientCertificates === 'required' ? 'it has none' : null;
    if (!socket.authorized) return `it is not accepted: ${socket.authorizationError}`;
    if (userFrom === 'none') return null;
    const name: unknown = socket.getPeerCertificate().subject?.CN;
    if (typeof name !== 'string' || !isUserName(name)) return 'it does not name one user in its common name';
    visit.certificateUser = name;
    return null;
  }

  #onFailed(error: Error, socket: TLSSocket): void {
    this.#counters.counter('tls_handshakes_failed_total', 'Connections to TLS ports that ended during the handshake').add();
    const peer = this.#peers.get(rawSocketOf(socket));
    const { code = '', reason = error.message } = error as { code?: string; reason?: string };
    // One side does not take what the other one is or shows; else the connection was lost, which probes do all the time.
    if (code.startsWith('ERR_SSL')) this.#log.info({ peer, reason }, 'a TLS handshake failed');
    else this.#log.debug({ peer, err: error }, 'a TLS handshake failed');
    socket.destroy();
  }

  #refuse(peer: string, reason: string): void {
    this.#counters
      .counter('mqtt_client_certificates_refused_total', 'MQTT connections ended because of the certificate of the client')
      .add();
    this.#log.info({ peer, reason }, 'refused a client because of its certificate');
  }
}

/** The same for a raw socket and the secure one on it. */
function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** As a user name in a CONNECT has to be. */
function isUserName(name: string): boolean {
  const bytes = Buffer.from(name);
  return bytes.length > 0 && name.isWellFormed() && readText(bytes, 0, bytes.length) !== null;
}
