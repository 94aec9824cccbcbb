// A random life of one broker with several clients: each step is done with a real connection and with the reference, and
// what every client was sent is compared. The same seed gives the same life.

import { setTimeout as delay } from 'node:timers/promises';
import { type MqttPacket, MqttWire } from '../support/mqtt-wire.js';
import { pick, type Random } from '../support/random.js';
import type { House } from './houses.js';
import { ReferenceBroker } from './reference-broker.js';
import type { Message, Observed, Opening, ReferenceLimits, Subscription, Will } from './reference-state.js';

export const CLIENTS = ['c1', 'c2', 'c3', 'c4'] as const;
/** Publishes what marks a moment in the order of things; not part of the random steps. */
const MARKER = 'marker';
const TOPICS = ['a', 'a/b', 'a/c', 'b', 'b/', '/a', '$own/a'] as const;
const FILTERS = ['#', '+', 'a/#', 'a/+', '+/b', 'a', 'a/b', '$own/#', '+/#'] as const;
/** Topic and filter of the shared subscription; no other filter matches it. */
const SHARED_TOPIC = '$s/x';
const SHARED_FILTER = '$share/g/$s/#';
const BURST_MAX = 8;
const WORLDS_MAX = 500;
/** How long sessions of 3.1 and 3.1.1 are kept, in seconds: longer than a life. */
const FOR_GOOD = 1_000_000;
const MARKING: Opening = { cleanStart: true, expiry: 0, will: null, receiveMaximum: 0 };
const PATIENCE_MS = 5_000;

/** A client: its connection, and what it still has to do as a publisher. */
class Client {
  wire: MqttWire | null = null;
  #lastId = 0;
  /** QoS 2 messages that were sent and not released. */
  readonly unreleased = new Map<number, Message>();

  constructor(readonly name: string) {}

  get connected(): MqttWire {
    if (this.wire === null) throw new Error(`${this.name} is not connected`);
    return this.wire;
  }

  nextId(): number {
    do this.#lastId = (this.#lastId % 60_000) + 1;
    while (this.unreleased.has(this.#lastId));
    return this.#lastId;
  }
}

export class BrokerLife {
  readonly clients = new Map<string, Client>([...CLIENTS, MARKER].map((name) => [name, new Client(name)]));
  /** What the broker may be: one, but for the moments after a crash. */
  #worlds: ReferenceBroker[];
  #count = 0;
  /** What was done, for whom a life fails. */
  readonly log: string[] = [];

  constructor(
    private readonly house: House,
    limits: ReferenceLimits,
    private readonly version: 3 | 4 | 5,
    private readonly random: Random,
  ) {
    this.#worlds = [new ReferenceBroker(limits)];
  }

  /** Throws when the broker does what the reference does not. */
  async live(steps: number): Promise<void> {
    await this.#connect(MARKER, MARKING);
    for (let i = 0; i < steps; i++) await this.#step();
    for (const client of this.clients.values()) if (client.wire !== null) await this.#disconnect(client.name);
  }

  async #step(): Promise<void> {
    this.house.tick();
    const client = pick(CLIENTS, this.random);
    const isConnected = this.#client(client).wire !== null;
    const dice = this.random(1_000);
    if (!isConnected) return dice < 700 ? await this.#connectSomehow(client) : dice < 730 ? await this.#pass() : undefined;
    if (dice < 430) return await this.#publish(client);
    if (dice < 560) return await this.#acknowledge(client);
    if (dice < 700) return await this.#subscribe(client);
    if (dice < 740) return await this.#unsubscribe(client);
    if (dice < 790) return await this.#burst(client);
    if (dice < 840) return await this.#finishAsPublisher(client);
    if (dice < 890) return await this.#lose(client);
    if (dice < 930) return await this.#disconnect(client);
    if (dice < 970) return await this.#connectSomehow(client);
    if (dice < 978) return await this.#pass();
    if (dice < 985) return await this.#restart();
    return this.random(2) === 0 ? await this.#kill() : await this.#killInBurst(client);
  }

  // Connections.

  async #connectSomehow(name: string): Promise<void> {
    // One will at a time: the order of several would be open.
    const isFirst = [...this.clients.values()].every(
      ({ name: other }) => other === name || !this.#worlds.some((world) => world.hasWill(other)),
    );
    const will = isFirst && this.random(3) === 0 ? this.#will(name) : null;
    const cleanStart = this.random(3) === 0;
    const expiry = this.version === 5 ? pick([0, 60, 3_600], this.random) : cleanStart ? 0 : FOR_GOOD;
    const receiveMaximum = this.version === 5 ? pick([0, 0, 1, 2, 5, 65_535], this.random) : 0;
    await this.#connect(name, { cleanStart, expiry, will, receiveMaximum });
  }

  #will(name: string): Will {
    const delay = this.version === 5 && this.house.passes ? pick([0, 10, 100], this.random) : 0;
    return { ...this.#message(name), delay };
  }

  async #connect(name: string, opening: Opening): Promise<void> {
    const { cleanStart, expiry, will, receiveMaximum } = opening;
    this.log.push(`${name} connects${cleanStart ? ' clean' : ''} for ${expiry}${openingText(opening)}`);
    const client = this.#client(name);
    const old = client.wire;
    const wire = await MqttWire.open(this.house.port, this.version);
    wire.send({
      cmd: 'connect',
      protocolId: this.version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.version,
      clean: cleanStart,
      clientId: name,
      keepalive: 0,
      ...(this.version === 5 && {
        properties: { sessionExpiryInterval: expiry, ...(receiveMaximum > 0 && { receiveMaximum }) },
      }),
      ...(will && { will: { ...will, payload: Buffer.from(will.payload), properties: willProperties(will) } }),
    });
    const connack = await wire.expect('connack');
    await old?.closed();
    client.wire = wire;
    this.#keepWorlds((world) => {
      const present = world.connect(name, opening);
      // 3.1 has no such flag.
      const said = this.version === 3 ? connack.sessionPresent === false : connack.sessionPresent === present;
      return said ? null : `${name}: session present is ${String(connack.sessionPresent)}`;
    });
    if (!isPresent(connack, cleanStart, this.version)) client.unreleased.clear();
    await this.#settle();
  }

  async #disconnect(name: string): Promise<void> {
    this.log.push(`${name} disconnects`);
    const { connected: wire } = this.#client(name);
    wire.send({ cmd: 'disconnect' });
    await wire.closed();
    await this.#ended(name, (world) => world.disconnect(name));
  }

  async #lose(name: string): Promise<void> {
    this.log.push(`${name} is cut off`);
    const connections = await this.house.connections();
    await this.#client(name).connected.drop();
    await this.#until('the gateway knows that a client is gone', async () => (await this.house.connections()) < connections);
    await this.#ended(name, (world) => world.lose(name));
  }

  async #ended(name: string, apply: (world: ReferenceBroker) => void): Promise<void> {
    this.#client(name).wire = null;
    for (const world of this.#worlds) apply(world);
    await this.#settle();
  }

  // Subscriptions.

  async #subscribe(name: string): Promise<void> {
    const subscription = this.#subscription();
    const { filter, qos, noLocal: nl, retainAsPublished: rap, retainHandling: rh } = subscription;
    this.log.push(`${name} subscribes to ${filter} at ${qos}${nl ? ' nl' : ''}${rap ? ' rap' : ''} rh ${rh}`);
    const { connected: wire } = this.#client(name);
    wire.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos, nl, rap, rh }] });
    await wire.answer('suback', 1);
    for (const world of this.#worlds) world.subscribe(name, subscription);
    await this.#settle();
  }

  #subscription(): Subscription {
    const { random } = this;
    const plain = { filter: pick(FILTERS, random), qos: random(3), noLocal: false, retainAsPublished: false, retainHandling: 0 };
    if (this.version < 5) return plain;
    if (random(5) === 0) return { ...plain, filter: SHARED_FILTER };
    return { ...plain, noLocal: random(3) === 0, retainAsPublished: random(2) === 0, retainHandling: random(3) };
  }

  async #unsubscribe(name: string): Promise<void> {
    const filter = this.#subscription().filter;
    this.log.push(`${name} unsubscribes from ${filter}`);
    const { connected: wire } = this.#client(name);
    wire.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [filter] });
    await wire.answer('unsuback', 1);
    for (const world of this.#worlds) world.unsubscribe(name, filter);
    await this.#settle();
  }

  // Publications.

  #message(from: string, topic: string = pick(TOPICS, this.random)): Message {
    this.#count += 1;
    const retain = this.random(3) === 0;
    const isEmpty = this.random(8) === 0;
    // Where no time passes, that of none is over: it would be at a time of its own.
    const expiry = this.version === 5 && this.random(3) === 0 ? (this.house.passes ? 30 : FOR_GOOD) : 0;
    return { topic, payload: isEmpty ? '' : `${from}-${this.#count}`, qos: this.random(3), retain, expiry };
  }

  async #publish(name: string): Promise<void> {
    const isForGroup = this.version === 5 && this.random(5) === 0;
    const message = isForGroup ? { ...this.#message(name, SHARED_TOPIC), retain: false } : this.#message(name);
    const id = message.qos === 0 ? 0 : this.#client(name).nextId();
    this.log.push(`${name} publishes ${text(message)} as ${id}`);
    this.#write(name, message, id, false);
    if (id > 0) await this.#client(name).connected.answer(message.qos === 1 ? 'puback' : 'pubrec', id);
    this.#worlds = this.#worlds.flatMap((world) =>
      world.candidates(message.topic).map((member) => {
        const copy = world.clone();
        copy.publish(name, message, id, member);
        return copy;
      }),
    );
    await this.#settle();
    if (message.qos === 2 && this.random(3) > 0) await this.#release(name, id);
    await this.#settle();
  }

  #write(name: string, message: Message, id: number, dup: boolean): void {
    const client = this.#client(name);
    if (message.qos === 2) client.unreleased.set(id, message);
    const { topic, payload, qos, retain, expiry } = message;
    const properties = expiry > 0 ? { properties: { messageExpiryInterval: expiry } } : {};
    client.connected.publish(topic, payload, { qos, retain, messageId: id, dup, ...properties });
  }

  async #release(name: string, id: number): Promise<void> {
    const client = this.#client(name);
    client.connected.send({ cmd: 'pubrel', messageId: id });
    await client.connected.answer('pubcomp', id);
    client.unreleased.delete(id);
    for (const world of this.#worlds) world.release(name, id);
  }

  /** Several at once, of one topic: the order of different topics would be open. */
  async #burst(name: string): Promise<void> {
    const burst = this.#sendBurst(name);
    const last = [...burst.keys()].at(-1) as number;
    const { wire } = this.#client(name);
    await wire?.answer((burst.get(last) as Message).qos === 1 ? 'puback' : 'pubrec', last);
    for (const world of this.#worlds) for (const [id, message] of burst) world.publish(name, message, id);
    await this.#settle();
  }

  #sendBurst(name: string): Map<number, Message> {
    const client = this.#client(name);
    const topic = pick(TOPICS, this.random);
    const burst = new Map<number, Message>();
    for (let n = 2 + this.random(BURST_MAX - 1); n > 0; n--) {
      burst.set(client.nextId(), { ...this.#message(name, topic), qos: 1 + this.random(2) });
    }
    this.log.push(`${name} sends ${[...burst].map(([id, message]) => `${text(message)} as ${id}`).join(', ')}`);
    for (const [id, message] of burst) this.#write(name, message, id, false);
    return burst;
  }

  /** Sends again what has no PUBREL yet, with DUP, or releases it. */
  async #finishAsPublisher(name: string): Promise<void> {
    const client = this.#client(name);
    for (const [id, message] of [...client.unreleased]) {
      if (this.random(2) === 0) {
        this.log.push(`${name} sends ${text(message)} again as ${id}`);
        this.#write(name, message, id, true);
        await client.connected.answer('pubrec', id);
        for (const world of this.#worlds) world.publish(name, message, id);
      }
      if (this.random(2) === 0) {
        this.log.push(`${name} releases ${id}`);
        await this.#release(name, id);
      }
    }
    await this.#settle();
  }

  /** The oldest message, or any, or all, each by one step. */
  async #acknowledge(name: string): Promise<void> {
    const open = (this.#worlds[0] as ReferenceBroker).acknowledgeable(name);
    if (open.length === 0) return;
    const how = this.random(4);
    const chosen = how === 0 ? open : how === 1 ? [pick(open, this.random)] : open.slice(0, 1);
    const { connected: wire } = this.#client(name);
    this.log.push(`${name} acknowledges ${chosen.map(({ id, packet }) => `${packet} ${id}`).join(', ')}`);
    for (const { id, packet } of chosen) {
      wire.send({ cmd: packet, messageId: id });
      for (const world of this.#worlds) world.acknowledge(name, id);
    }
    await this.#settle();
  }

  // The end of the broker.

  async #restart(): Promise<void> {
    this.log.push('the gateway is restarted');
    const wires = this.#wires();
    await this.house.restart();
    await this.#begunAgain(wires, false);
  }

  async #kill(): Promise<void> {
    await this.#mark();
    this.log.push('the gateway is killed');
    const wires = this.#wires();
    await this.house.kill();
    await this.#begunAgain(wires, true);
  }

  /** Of what the client has just sent, all that was acknowledged has happened, and perhaps some of what follows. */
  async #killInBurst(name: string): Promise<void> {
    await this.#mark();
    const { connected: wire } = this.#client(name);
    const burst = this.#sendBurst(name);
    const acknowledged = (): MqttPacket[] =>
      wire.packets.filter(({ cmd, messageId }) => {
        return (cmd === 'puback' || cmd === 'pubrec') && burst.has(messageId as number);
      });
    const wanted = this.random(burst.size + 1);
    // Ids of earlier messages may be the same.
    const before = acknowledged().length;
    await wire.until(() => acknowledged().length - before >= wanted, 'some acknowledgements');
    const wires = this.#wires();
    const killed = this.house.kill();
    await killed;
    for (const other of wires) await other.closed();
    const known = acknowledged().length - before;
    this.log.push(`the gateway is killed when ${known} are acknowledged`);
    const messages = [...burst];
    this.#worlds = this.#worlds.flatMap((world) => {
      return Array.from({ length: messages.length - known + 1 }, (_, more) => {
        const copy = world.clone();
        for (const [id, message] of messages.slice(0, known + more)) copy.publish(name, message, id);
        return copy;
      });
    });
    if (this.#worlds.length > WORLDS_MAX) throw new Error(`${this.#worlds.length} worlds`);
    await this.#begunAgain(wires, true);
  }

  /** Time passes, where the house can do that. */
  async #pass(): Promise<void> {
    if (this.version < 5 || !this.house.passes) return;
    const seconds = pick([20, 40, 1_000], this.random);
    this.log.push(`${seconds} seconds pass`);
    for (const world of this.#worlds) world.pass(seconds);
    await this.house.pass(seconds, Math.max(...this.#worlds.map(({ retained }) => retained)));
    await this.#settle();
  }

  #wires(): MqttWire[] {
    return [...this.clients.values()].flatMap(({ wire }) => (wire === null ? [] : [wire]));
  }

  async #begunAgain(wires: readonly MqttWire[], killed: boolean): Promise<void> {
    for (const wire of wires) if (!wire.ended) await wire.closed();
    for (const client of this.clients.values()) client.wire = null;
    for (const world of this.#worlds) world.stop(killed);
    await this.#connect(MARKER, MARKING);
    await this.#inspect();
  }

  /** What is retained, as a new client sees it. */
  async #inspect(): Promise<void> {
    this.log.push('what is retained is looked at');
    const { connected: wire } = this.#client(MARKER);
    for (const filter of ['#', '$own/#']) {
      wire.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] });
      await wire.answer('suback', 1);
      for (const world of this.#worlds) {
        world.subscribe(MARKER, { filter, qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 });
      }
      await this.#settle();
      wire.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [filter] });
      await wire.answer('unsuback', 1);
      for (const world of this.#worlds) world.unsubscribe(MARKER, filter);
    }
  }

  /** What was done before has reached the store: acknowledgements of clients, which nobody answers, included. */
  async #mark(): Promise<void> {
    this.#count += 1;
    const message = { topic: 'mark', payload: `${this.#count}`, qos: 1, retain: true, expiry: 0 };
    this.log.push(`marker publishes ${text(message)}`);
    this.#write(MARKER, message, 1, false);
    await this.#client(MARKER).connected.answer('puback', 1);
    for (const world of this.#worlds) world.publish(MARKER, message, 1);
    await this.#settle();
  }

  // Comparing.

  /** Everybody has been sent what there was to send; worlds in which it would have been something else are none. */
  async #settle(): Promise<void> {
    const connected = [...this.clients.values()].filter(({ wire }) => wire !== null);
    this.#worlds = this.#worlds.flatMap((world) => world.rehomed());
    if (this.#worlds.length > WORLDS_MAX) throw new Error(`${this.#worlds.length} worlds`);
    await Promise.all(connected.map((client) => this.#awaitExpected(client)));
    const observed = await Promise.all(connected.map(async ({ connected: wire }) => (await wire.settled()).flatMap(delivery)));
    this.#keepWorlds((world) => {
      const differences = connected.map(({ name }, i) => world.difference(name, observed[i] as Observed[]));
      return differences.find((difference) => difference !== null) ?? null;
    });
  }

  /** At least what the most modest of the worlds asks for, or the time is up. */
  async #awaitExpected({ name, connected: wire }: Client): Promise<void> {
    const count = Math.min(...this.#worlds.map((world) => world.expectedCount(name)));
    const came = (): number => wire.unseen().flatMap(delivery).length;
    const deadline = performance.now() + PATIENCE_MS;
    while (came() < count && performance.now() < deadline) await delay(1);
  }

  #keepWorlds(differenceIn: (world: ReferenceBroker) => string | null): void {
    const differences = this.#worlds.map(differenceIn);
    this.#worlds = this.#worlds.filter((_, i) => differences[i] === null);
    if (this.#worlds.length === 0) throw new Error(`${differences.join('\n')}\nafter\n${this.log.join('\n')}`);
  }

  #client(name: string): Client {
    return this.clients.get(name) as Client;
  }

  async #until(what: string, fact: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await fact())) {
      if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
      await delay(1);
    }
  }
}

/** The session was there; 3.1 does not say. */
function isPresent(connack: MqttPacket, cleanStart: boolean, version: number): boolean {
  return version === 3 ? !cleanStart : connack.sessionPresent === true;
}

function openingText({ will, receiveMaximum }: Opening): string {
  const willText = will === null ? '' : `, will ${text(will)}${will.delay > 0 ? ` after ${will.delay}` : ''}`;
  return `${receiveMaximum > 0 ? `, takes ${receiveMaximum}` : ''}${willText}`;
}

function willProperties({ delay, expiry }: Will): object {
  return { ...(delay > 0 && { willDelayInterval: delay }), ...(expiry > 0 && { messageExpiryInterval: expiry }) };
}

function text({ topic, payload, qos, retain, expiry }: Message): string {
  return `${topic}=${payload}/${qos}${retain ? 'r' : ''}${expiry > 0 ? ` for ${expiry}` : ''}`;
}

/** Packets of deliveries as the reference knows them; others are answers. */
function delivery(packet: MqttPacket): Observed[] {
  const { cmd, topic, payload, qos, retain, dup, messageId } = packet as unknown as Record<string, unknown>;
  if (cmd !== 'publish' && cmd !== 'pubrel') return [];
  return [
    {
      packet: cmd,
      topic: String(topic ?? ''),
      payload: String(payload ?? ''),
      qos: Number(qos),
      retain: retain === true,
      dup: dup === true,
      id: Number(messageId ?? 0),
    },
  ];
}
