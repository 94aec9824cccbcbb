// A crowd of MQTT clients that lose their connections and come back all at once, and a few others whose messages go on
// meanwhile. Crowd and others belong into two processes, so that here one does not wait for the other.

import { setTimeout as delay } from 'node:timers/promises';
import { connectMqtt, freshClientId, openMqtt, publishPacket, subscribe } from './mqtt-wire.mjs';

/** How long the sessions of the crowd outlive their connections. */
const KEEP_SECONDS = 3600;
const KEEP_ALIVE_SECONDS = 600;
/** A client whose connection fails comes again after this. */
const RETRY_MS = 1000;
/** So many at a time gather at first. */
const GATHERING = 64;
/** Who is not served after so long will not be. */
const LIMIT_MS = 30_000;
/** The same for the first time, when few come at a time. */
const GATHERING_LIMIT_MS = 120_000;

/** `count` clients with a durable session and one subscription each. */
export class Crowd {
  #port;
  #version;
  #clientIds;
  /** @type {import('./connection.mjs').Connection[]} */
  #connections = [];
  /** Connections that ended although they had been served. */
  #lost = 0;

  constructor({ port, count, version }) {
    this.#port = port;
    this.#version = version;
    this.#clientIds = Array.from({ length: count }, freshClientId);
  }

  async gather() {
    const left = [...this.#clientIds];
    const one = async () => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) await this.#arrive(id, false);
    };
    await this.#inTime(Promise.all(Array.from({ length: GATHERING }, one)), GATHERING_LIMIT_MS);
  }

  scatter() {
    for (const connection of this.#connections) connection.cut();
    this.#connections = [];
  }

  /** All at once. Resolves when the last one has its subscription again. */
  async comeBack() {
    const begun = performance.now();
    let retries = 0;
    const insist = async (clientId) => {
      for (;;) {
        try {
          return await this.#arrive(clientId, true);
        } catch (error) {
          // Refusals have no code of the system.
          if (error.code === undefined) throw error;
          retries += 1;
          await delay(RETRY_MS);
        }
      }
    };
    await this.#inTime(Promise.all(this.#clientIds.map(insist)), LIMIT_MS);
    const servedMs = performance.now() - begun;
    if (this.#lost > 0) throw new Error(`${this.#lost} clients lost their connections again`);
    return { servedMs, retries };
  }

  /** `all` resolves to an array. */
  async #inTime(all, limitMs) {
    const limit = new AbortController();
    const late = delay(limitMs, null, { signal: limit.signal }).catch(() => null);
    const done = await Promise.race([all, late]);
    limit.abort();
    if (done !== null) return;
    throw new Error(`${this.#connections.length} of ${this.#clientIds.length} clients were served within ${limitMs} ms`);
  }

  async #arrive(clientId, isKnown) {
    const version = this.#version;
    const options = { clientId, version, keepSeconds: KEEP_SECONDS, keepAlive: KEEP_ALIVE_SECONDS };
    const { connection, sessionPresent } = await connectMqtt(this.#port, options);
    if (sessionPresent !== isKnown) throw new Error(`session present is ${sessionPresent} for ${clientId}`);
    await subscribe(connection, `bench/crowd/${clientId}`, 1, version);
    connection.onFault = () => {
      this.#lost += 1;
    };
    connection.handle(() => {});
    this.#connections.push(connection);
  }
}

const NUMBER_BYTES = 8;
const STRAGGLERS_MS = 10_000;

/**
 * Pairs of a publisher and a subscriber that exchange messages of QoS 0 at a fixed pace, whatever becomes of the messages
 * before. The latency of a message counts from the moment when it was due.
 */
export class Bystanders {
  #everyMs;
  #payloadOf;
  #publishers = [];
  #connections = [];
  #begun = 0;
  #sent = 0;
  #latencies = [];
  #timer = null;
  #fault = null;

  constructor({ everyMs, payloadOf }) {
    this.#everyMs = everyMs;
    this.#payloadOf = payloadOf;
  }

  async begin({ port, pairs }) {
    for (let index = 0; index < pairs; index += 1) {
      const topic = `bench/pair/${1000 + index}`;
      const [publisher, subscriber] = [await openMqtt(port), await openMqtt(port)];
      await subscribe(subscriber, topic, 0);
      publisher.handle(() => {});
      subscriber.handle(this.#reader(publishPacket(topic, this.#payloadOf()).length));
      this.#publishers.push({ publisher, topic });
      this.#connections.push(publisher, subscriber);
    }
    for (const connection of this.#connections) {
      connection.onFault = (error) => {
        this.#fault = error;
      };
    }
    this.#begun = performance.now();
    this.#timer = setInterval(() => this.#sendDue(), 1);
  }

  /** @returns {Promise<{messages: number, p50Ms: number, p99Ms: number, longestMs: number}>} when all messages have come */
  async end() {
    clearInterval(this.#timer);
    const deadline = performance.now() + STRAGGLERS_MS;
    while (this.#latencies.length < this.#sent && this.#fault === null && performance.now() < deadline) await delay(5);
    for (const connection of this.#connections) connection.close();
    if (this.#fault !== null) throw this.#fault;
    const missing = this.#sent - this.#latencies.length;
    if (missing > 0) throw new Error(`${missing} of ${this.#sent} messages of the others did not come`);
    const sorted = Float64Array.from(this.#latencies).sort();
    const share = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { messages: sorted.length, p50Ms: share(0.5), p99Ms: share(0.99), longestMs: share(1) };
  }

  #dueMs(number) {
    return this.#begun + (number + 1) * this.#everyMs;
  }

  #sendDue() {
    while (this.#dueMs(this.#sent) <= performance.now()) {
      const { publisher, topic } = this.#publishers[this.#sent % this.#publishers.length];
      const payload = this.#payloadOf();
      payload.write(String(this.#sent).padStart(NUMBER_BYTES, '0'), payload.length - NUMBER_BYTES, 'latin1');
      publisher.write(publishPacket(topic, payload));
      this.#sent += 1;
    }
  }

  /** Every packet ends with the number of its message. */
  #reader(packetBytes) {
    let rest = Buffer.alloc(0);
    return (buffer, size) => {
      const now = performance.now();
      rest = Buffer.concat([rest, buffer.subarray(0, size)]);
      for (; rest.length >= packetBytes; rest = rest.subarray(packetBytes)) {
        const number = Number(rest.toString('latin1', packetBytes - NUMBER_BYTES, packetBytes));
        this.#latencies.push(now - this.#dueMs(number));
      }
    };
  }
}
