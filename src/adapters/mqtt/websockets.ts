// Websockets: MQTT connections that come through the HTTP listener.

import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type AdapterContext, countWebsocketFault, limitEarlyBytes, peerName, sendAway } from '../../core/index.js';
import { normalAddress } from './addresses.js';
import { type Admission, type Exceeded, Visit } from './admission.js';
import { LINGER_MS, type Transport, type TransportOwner, WebsocketTransport } from './transport.js';
import { type MqttLimits, SUBPROTOCOLS } from './wire.js';

export interface WebsocketHost {
  readonly context: AdapterContext;
  readonly admission: Admission;
  readonly limits: MqttLimits;
  onRefused(limit: Exceeded, peer: string): void;
  /** Takes a connection over; `connect` makes its transport. */
  open(visit: Visit, connect: (owner: TransportOwner) => Transport): void;
}

/** Options that the type declarations of the library do not know yet. */
const NEWER_OPTIONS = Object.freeze({ maxFragments: 4_096, closeTimeout: LINGER_MS });

export class Websockets {
  readonly #host: WebsocketHost;
  readonly #server: WebSocketServer;
  #closed = false;

  constructor(host: WebsocketHost) {
    this.#host = host;
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: host.limits.maxPacketBytes + host.limits.maxConnectBytes,
      clientTracking: false,
      handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
      ...NEWER_OPTIONS,
    });
  }

  /** No new ones from now on. */
  close(): void {
    this.#closed = true;
    this.#server.close();
  }

  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const visit = this.#closed ? null : this.#admit(request.socket);
    if (visit === null) {
      sendAway(socket);
      return;
    }
    this.#host.admission.enter(visit, () => {
      this.#server.handleUpgrade(request, socket, head, (websocket) => this.#open(visit, websocket, socket));
    });
  }

  /** null: it cannot come in. One that would have to wait is sent away: its handshake is half done. */
  #admit(socket: Socket): Visit | null {
    const { admission } = this.#host;
    const visit = admission.accept();
    const address = normalAddress(socket.remoteAddress ?? '');
    const port = socket.remotePort ?? 0;
    if (!(visit instanceof Visit)) {
      this.#host.onRefused(visit, peerName(address, port));
      return null;
    }
    const exceeded = admission.identify(visit, address, port);
    if (exceeded !== null) this.#host.onRefused(exceeded, visit.peer);
    if (exceeded !== null || admission.isCrowded) {
      visit.leave();
      return null;
    }
    socket.once('close', () => visit.leave());
    return visit;
  }

  #open(visit: Visit, websocket: WebSocket, socket: Duplex): void {
    this.#host.open(visit, (owner) => {
      websocket.on('error', (error) => countWebsocketFault(this.#host.context.counters, 'mqtt', error));
      const transport = new WebsocketTransport(websocket, owner);
      limitFirstBytes(socket, transport, 2 * this.#host.limits.maxConnectBytes);
      return transport;
    });
  }
}

/** A message is whole before it is seen: one that nobody has connected with yet is not collected beyond this. */
function limitFirstBytes(socket: Duplex, transport: Transport, maxBytes: number): void {
  const { owner } = transport;
  limitEarlyBytes(
    socket,
    maxBytes,
    () => transport.owner === owner,
    () => transport.destroy(),
  );
}
