// Listener: one port, and what happens on its connections before MQTT: the header of a proxy, the limits
// of admission, the TLS handshake.

import { createServer, type Server, type Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { type AdapterContext, type ConnectionError, Episode, type Listening, listen, peerName } from '../../core/index.js';
import { type AddressList, normalAddress } from './addresses.js';
import { type Admission, type Exceeded, Visit } from './admission.js';
import { type ClientCertificates, Handshakes } from './handshakes.js';
import { takeProxyHeader } from './proxied.js';
import type { Endpoint } from './proxy-header.js';

export interface ListenerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Its key in the configuration. */
  readonly key: string;
  /** null: not secure. */
  readonly tls: ClientCertificates | null;
  /** Who puts a PROXY header before every connection; nobody else may connect then. null: nobody does. */
  readonly proxies: AddressList | null;
  /** Time for what comes before the first packet. */
  readonly timeoutMs: number;
}

export interface ListenerHost {
  readonly context: AdapterContext;
  readonly admission: Admission;
  onRefused(limit: Exceeded, peer: string): void;
  /** `socket` carries MQTT from its next byte on. */
  begin(socket: Socket, visit: Visit): void;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #host: ListenerHost;
  readonly #server: Server;
  readonly #handshakes: Handshakes | null;
  /** Sockets that have not begun, with their visits. */
  readonly #outside = new Map<Socket, Visit>();
  readonly #badHeaders = new Episode();

  constructor(options: ListenerOptions, host: ListenerHost) {
    this.#options = options;
    this.#host = host;
    const { tls, timeoutMs } = options;
    const { log, counters } = host.context;
    this.#handshakes = tls === null ? null : new Handshakes({ ...tls, timeoutMs }, log, counters);
    this.#server = createServer({ noDelay: true }, (socket) => this.#onSocket(socket));
    host.context.room?.share(this.#server);
  }

  /** Accepts when this resolves. Rejects with StartError. */
  open(): Promise<Listening> {
    return listen(this.#server, this.#options, { host: 'host', port: this.#options.key }, this.#host.context.log);
  }

  /** No new connections from now on; those that have not begun are ended. */
  close(): void {
    this.#server.close();
    for (const socket of this.#outside.keys()) socket.destroy();
  }

  setSecureContext(options: SecureContextOptions): void {
    this.#handshakes?.setSecureContext(options);
  }

  /** Called about twice a second with the monotonic time in milliseconds. */
  onTick(now: number): void {
    for (const [socket, visit] of this.#outside) {
      if (visit.stage === 'accepted' && now - visit.openedAt > this.#options.timeoutMs) socket.destroy();
    }
  }

  #onSocket(socket: Socket): void {
    socket.on('error', destroy);
    const direct = { address: normalAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
    const visit = this.#host.admission.accept();
    if (!(visit instanceof Visit)) return this.#refuse(socket, visit, peerName(direct.address, direct.port));
    this.#outside.set(socket, visit);
    socket.once('close', () => {
      this.#outside.delete(socket);
      visit.leave();
    });
    const { proxies } = this.#options;
    if (proxies === null) return this.#identify(socket, visit, direct);
    if (!proxies.has(direct.address)) return this.#onBadHeader(socket, direct, 'the address is not one of mqtt.proxyAddresses');
    takeProxyHeader(
      socket,
      ({ source }) => this.#identify(socket, visit, source ?? direct),
      (error: ConnectionError) => this.#onBadHeader(socket, direct, error.message),
    );
  }

  #identify(socket: Socket, visit: Visit, { address, port }: Endpoint): void {
    const { admission } = this.#host;
    const exceeded = admission.identify(visit, address, port);
    if (exceeded !== null) this.#refuse(socket, exceeded, visit.peer);
    else admission.enter(visit, () => this.#begin(socket, visit));
  }

  #begin(socket: Socket, visit: Visit): void {
    const begin = (ready: Socket): void => {
      this.#outside.delete(socket);
      this.#host.begin(ready, visit);
      // It is paused when a header was taken off it.
      ready.resume();
    };
    if (this.#handshakes === null) begin(socket);
    else this.#handshakes.take(socket, visit, begin);
  }

  #refuse(socket: Socket, limit: Exceeded, peer: string): void {
    socket.destroy();
    this.#host.onRefused(limit, peer);
  }

  #onBadHeader(socket: Socket, { address, port }: Endpoint, reason: string): void {
    socket.destroy();
    const { counters, log, clock } = this.#host.context;
    counters
      .counter('mqtt_proxy_headers_refused_total', 'MQTT connections ended because they did not begin with a PROXY header as configured')
      .add();
    if (this.#badHeaders.begins(clock.monotonic()))
      log.warn({ peer: peerName(address, port), reason }, 'refused a connection without proper PROXY header');
  }
}

function destroy(this: Socket): void {
  this.destroy();
}
