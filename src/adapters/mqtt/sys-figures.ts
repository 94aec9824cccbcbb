// The names and values of the $SYS topics. Names are mosquitto's where they mean the same; the rest is below
// `$SYS/broker/trivium`. Nothing here names a client or a filter.

import type { GatewayFigures, NodeInfo } from '../../core/index.js';
import type { WireCounts } from './wire-counts.js';

const MINUTE_MS = 60_000;
const AVERAGES = [1, 5, 15] as const;

/** Everything at one moment. */
export interface Snapshot {
  readonly node: NodeInfo;
  readonly figures: GatewayFigures;
  readonly counts: WireCounts;
  readonly heapBytes: number;
  /** Milliseconds since 1970, and monotonic ones. */
  readonly now: number;
  readonly monotonic: number;
}

/** A running total as events a minute, averaged over the last 1, 5 and 15 minutes, older minutes counting less and less. */
class LoadAverages {
  #total = 0;
  #at: number;
  readonly #values = AVERAGES.map(() => 0);

  constructor(monotonic: number) {
    this.#at = monotonic;
  }

  update(total: number, monotonic: number): readonly number[] {
    const minutes = (monotonic - this.#at) / MINUTE_MS;
    if (minutes <= 0) return this.#values;
    const rate = (total - this.#total) / minutes;
    this.#total = total;
    this.#at = monotonic;
    for (const [index, span] of AVERAGES.entries()) {
      const before = this.#values[index] as number;
      this.#values[index] = rate + Math.exp(-minutes / span) * (before - rate);
    }
    return this.#values;
  }
}

export class SysFigures {
  readonly #averages = new Map<string, LoadAverages>();
  readonly #begun: number;
  #mostHeapBytes = 0;

  /** `monotonic`: the time of the start, from which loads are averaged. */
  constructor(monotonic: number) {
    this.#begun = monotonic;
  }

  /** Topics and what they say. Updates the averages. */
  read(snapshot: Snapshot): Map<string, string> {
    const topics = new Map<string, string>();
    const put = (name: string, value: number | string): void => void topics.set(`$SYS/broker/${name}`, String(value));
    this.#putBroker(snapshot, put);
    this.#putLoads(snapshot, put);
    this.#putOwn(snapshot, put);
    return topics;
  }

  #putBroker({ node, figures, counts, heapBytes, now }: Snapshot, put: Put): void {
    this.#mostHeapBytes = Math.max(this.#mostHeapBytes, heapBytes);
    put('version', `trivium version ${node.version}`);
    put('uptime', `${Math.floor((now - node.startedAt) / 1_000)} seconds`);
    put('clients/connected', counts.clients);
    put('clients/disconnected', figures.durableAway);
    put('clients/total', counts.clients + figures.durableAway);
    put('clients/maximum', counts.mostClients);
    put('clients/expired', figures.durableExpired);
    put('bytes/received', counts.receivedBytes.value);
    put('bytes/sent', counts.sentBytes.value);
    put('messages/received', counts.receivedPackets.value);
    put('messages/sent', counts.sentPackets.value);
    put('publish/messages/received', counts.receivedPublishes.value);
    put('publish/messages/sent', counts.sentPublishes.value);
    put('publish/messages/dropped', figures.dropped);
    put('subscriptions/count', figures.subscriptions);
    put('retained messages/count', figures.records);
    put('store/messages/count', figures.records + figures.messages);
    put('store/messages/bytes', figures.recordBytes + figures.messageBytes);
    put('heap/current', heapBytes);
    put('heap/maximum', this.#mostHeapBytes);
  }

  #putLoads({ figures, counts, monotonic }: Snapshot, put: Put): void {
    const totals: readonly (readonly [name: string, total: number])[] = [
      ['sockets', counts.sockets.value],
      ['connections', counts.connects.value],
      ['bytes/received', counts.receivedBytes.value],
      ['bytes/sent', counts.sentBytes.value],
      ['messages/received', counts.receivedPackets.value],
      ['messages/sent', counts.sentPackets.value],
      ['publish/received', counts.receivedPublishes.value],
      ['publish/sent', counts.sentPublishes.value],
      ['publish/dropped', figures.dropped],
    ];
    for (const [name, total] of totals) this.#putAverages(`load/${name}`, total, monotonic, put);
  }

  #putOwn({ node, figures, monotonic }: Snapshot, put: Put): void {
    put('trivium/node/id', node.id);
    put('trivium/node/name', node.name);
    put('trivium/eventloop/delay', figures.eventLoopDelayMs);
    put('trivium/queue/inbound', figures.unsettled);
    put('trivium/queue/durable/messages', figures.queued);
    put('trivium/queue/durable/bytes', figures.queuedBytes);
    for (const [protocol, { sessions, requests }] of figures.protocols) {
      put(`trivium/${protocol}/sessions`, sessions);
      put(`trivium/${protocol}/requests`, requests);
      this.#putAverages(`trivium/${protocol}/load/requests`, requests, monotonic, put);
    }
  }

  #putAverages(name: string, total: number, monotonic: number, put: Put): void {
    let averages = this.#averages.get(name);
    if (averages === undefined) {
      averages = new LoadAverages(this.#begun);
      this.#averages.set(name, averages);
    }
    for (const [index, value] of averages.update(total, monotonic).entries()) put(`${name}/${AVERAGES[index]}min`, value.toFixed(2));
  }
}

type Put = (name: string, value: number | string) => void;
