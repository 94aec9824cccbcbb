// WireCounts: what has gone over the wires of all MQTT connections since the start.

import type { Counter, Counters } from '../../core/index.js';
import { PACKET } from './wire.js';

const PUBLISH_TYPE = PACKET.PUBLISH;

export class WireCounts {
  readonly receivedBytes: Counter;
  readonly sentBytes: Counter;
  /** Packets of all kinds. */
  readonly receivedPackets: Counter;
  readonly sentPackets: Counter;
  readonly receivedPublishes: Counter;
  readonly sentPublishes: Counter;
  /** Transports that were opened, and CONNECT packets on them. */
  readonly sockets: Counter;
  readonly connects: Counter;
  /** Clients whose CONNECT was accepted and who are still there, and the most that there were at a time. */
  #clients = 0;
  #mostClients = 0;

  constructor(counters: Counters) {
    this.receivedBytes = counters.counter('mqtt_received_bytes_total', 'Bytes that MQTT clients sent');
    this.sentBytes = counters.counter('mqtt_sent_bytes_total', 'Bytes that were sent to MQTT clients');
    this.receivedPackets = counters.counter('mqtt_received_packets_total', 'Packets that MQTT clients sent');
    this.sentPackets = counters.counter('mqtt_sent_packets_total', 'Packets that were sent to MQTT clients');
    this.receivedPublishes = counters.counter('mqtt_received_publishes_total', 'PUBLISH packets that MQTT clients sent');
    this.sentPublishes = counters.counter('mqtt_sent_publishes_total', 'PUBLISH packets that were sent to MQTT clients');
    this.sockets = counters.counter('mqtt_sockets_total', 'MQTT connections that were opened');
    this.connects = counters.counter('mqtt_connects_total', 'CONNECT packets that were read');
    counters.gauge('mqtt_clients', 'MQTT clients whose CONNECT was accepted', () => this.#clients);
  }

  get clients(): number {
    return this.#clients;
  }

  get mostClients(): number {
    return this.#mostClients;
  }

  /** `first`: first byte of the packet. */
  onReceived(first: number): void {
    this.receivedPackets.add();
    if (first >> 4 === PUBLISH_TYPE) this.receivedPublishes.add();
  }

  onSent(first: number): void {
    this.sentPackets.add();
    if (first >> 4 === PUBLISH_TYPE) this.sentPublishes.add();
  }

  onClient(): void {
    this.#clients += 1;
    if (this.#clients > this.#mostClients) this.#mostClients = this.#clients;
  }

  onClientGone(): void {
    this.#clients -= 1;
  }
}
