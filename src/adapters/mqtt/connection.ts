// MqttConnection: owns a transport from its acceptance until the first bytes say which version of the protocol its client speaks;
// then a session of that version takes transport and bytes over.

import { type AdapterContext, ConnectionError, countEnd, isGoodbye, type Portions } from '../../core/index.js';
import type { Visit } from './admission.js';
import { readOpening, refusalToHasty } from './opening.js';
import type { Arrival } from './session-host.js';
import { LINGER_MS, type Transport, type TransportOwner } from './transport.js';
import type { MqttLimits, Version } from './wire.js';

export interface ConnectionHost {
  readonly context: AdapterContext;
  readonly limits: MqttLimits;
  /** In which CONNECTs are served. */
  readonly connects: Portions;
  /** Makes the session of this version, which takes the transport over. */
  beginSession(connection: MqttConnection, version: Version, arrival: Arrival): void;
  onRefused(limit: 'maxConnectsPerSecond', peer: string): void;
  /** It ended without a session. */
  onConnectionEnded(connection: MqttConnection): void;
}

export class MqttConnection implements TransportOwner {
  /** Requests that are not answered, as sessions have them. */
  readonly inFlight = 0;
  readonly #host: ConnectionHost;
  readonly #transport: Transport;
  readonly #visit: Visit;
  /** The first bytes, as long as they say too little or wait to be served. */
  #bytes: Buffer | null = null;
  /** They say enough. */
  #waits = false;
  #stopped = false;
  #ended = false;
  #endedAt = 0;

  constructor(host: ConnectionHost, visit: Visit, connect: (owner: TransportOwner) => Transport) {
    this.#host = host;
    this.#visit = visit;
    this.#transport = connect(this);
  }

  onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.#bytes = this.#bytes === null ? chunk : Buffer.concat([this.#bytes, chunk]);
    if (this.#waits) return;
    try {
      this.#open(this.#bytes);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.close(error);
    }
  }

  #open(bytes: Buffer): void {
    const opening = readOpening(bytes, this.#host.limits.maxConnectBytes);
    if (opening === null) return;
    const transport = this.#transport;
    if (opening.version === null) {
      transport.write(opening.answer);
      throw new ConnectionError('UNSUPPORTED_VERSION', opening.reason);
    }
    const { version } = opening;
    if (this.#visit.isHasty) return this.#refuse(version);
    this.#waits = true;
    this.#host.connects.run(() => this.#begin(version));
    if (this.#waits) transport.pause();
  }

  #begin(version: Version): void {
    if (this.#ended || this.#stopped) return;
    const bytes = this.#bytes as Buffer;
    const transport = this.#transport;
    this.#bytes = null;
    this.#waits = false;
    transport.resume();
    this.#host.beginSession(this, version, { transport, visit: this.#visit });
    transport.owner.onData(bytes);
  }

  #refuse(version: Version): void {
    this.#transport.write(refusalToHasty(version));
    this.#host.onRefused('maxConnectsPerSecond', this.#visit.peer);
    this.close(null);
  }

  onDrain(): void {}

  onTransportClosed(): void {
    this.close(null);
    this.#host.onConnectionEnded(this);
  }

  /** Called about twice a second with the monotonic time in milliseconds. */
  onTick(now: number): void {
    if (this.#ended) {
      if (now - this.#endedAt > LINGER_MS) this.#transport.destroy();
    } else if (now - this.#visit.openedAt >= this.#host.limits.connectTimeoutMs) {
      this.close(new ConnectionError('CONNECT_TIMEOUT', 'no CONNECT came in time'));
    }
  }

  stopReading(): void {
    this.#stopped = true;
    this.#transport.pause();
  }

  /** null: normal end. Idempotent. */
  close(error: ConnectionError | null): void {
    if (this.#ended) return;
    const { log, clock, counters } = this.#host.context;
    if (error !== null) countEnd(counters, 'mqtt', error);
    this.#ended = true;
    this.#endedAt = clock.monotonic();
    this.#bytes = null;
    this.#visit.arrive();
    if (error !== null && !isGoodbye(error)) {
      log.info({ peer: this.#visit.peer, code: error.code }, `a connection ended before its CONNECT: ${error.message}`);
    }
    this.#transport.end();
  }

  /** Bytes that the system has not taken yet. */
  get isOwed(): boolean {
    return this.#transport.bufferedBytes > 0;
  }

  destroyTransport(): void {
    this.#transport.destroy();
  }
}
