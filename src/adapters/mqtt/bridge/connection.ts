// Connection: one attempt to reach the remote and all that follows from it, through the mqtt package; the only file that
// knows the package. Reconnecting, queues and packet ids are the bridge's: to the package there is only one connection,
// its stores are views on the bridge, and it uses the packet ids that the queue has on disk.

import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { connect, type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { CLOSE_GRACE_MS, type Qos } from '../../../core/index.js';
import { FIRST_BYTE, PACKET, PACKET_ID_MAX } from '../wire.js';
import { PacketIds } from './packet-ids.js';
import { encodeProperties, messageOf } from './packets.js';
import { CLOSED, errorText, refusalText } from './reasons.js';
import type { ConnectionOwner, Loss, OutgoingMessage, RemoteFacts, RemoteFilter, RemoteMessage } from './remote.js';

type IStore = NonNullable<IClientOptions['incomingStore']>;
type Done = (error?: Error) => void;

export interface ConnectionOptions {
  readonly url: string;
  readonly version: '5' | '3.1.1';
  /** The level of CONNECT says that this is a bridge (3.1.1). */
  readonly bridgeMode: boolean;
  readonly clientId: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly rejectUnauthorized: boolean;
  readonly keepAliveSeconds: number;
  readonly cleanSession: boolean;
  readonly maxPacketBytes: number;
  readonly receiveMaximum: number;
  /** Packet ids of messages of QoS 2 that the remote has and that are to be released. */
  readonly unreleased: readonly number[];
  /** Whether a packet id belongs to a queued message. */
  isKept(packetId: number): boolean;
}

/** From the beginning of the attempt until publishing may begin. */
const READY_WITHIN_MS = 30_000;
/** A remote that does not take the DISCONNECT is cut off. */
const LINGER_MS = 500;
const HIGH_WATER_BYTES = 1024 * 1024;
/** The session at the remote does not expire. */
const NEVER_SECONDS = 0xffff_ffff;
const UNACCEPTABLE_VERSION = [0x01, 0x84];
const NODE_PROPERTY = 'trivium-node';
const EMPTY = Buffer.alloc(0);
/** Makes the package go on reading without an acknowledgement, which follows when the message is stored. */
const ACKNOWLEDGED_LATER = new Error('acknowledged later');

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #owner: ConnectionOwner;
  readonly #client: MqttClient;
  readonly #ids: PacketIds;
  readonly #deadline: NodeJS.Timeout;
  readonly #unreleased: Set<number>;
  /** By packet id: what sends PUBREC. */
  readonly #unconfirmed = new Map<number, Done>();
  /** Packet ids of messages of QoS 1 that are stored. */
  #acknowledged: number[] = [];
  /** Reading goes on when it is called. */
  #readOn: (() => void) | null = null;
  #paused = false;
  #accepted = false;
  #answered = false;
  /** The first thing that went wrong. */
  #failure: string | null = null;
  #levelRefused = false;
  /** The remote reset the connection. */
  #cut = false;
  #over = false;

  /** Begins at once. `owner` is told of everything later, never within this call. */
  constructor(options: ConnectionOptions, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#unreleased = new Set(options.unreleased);
    this.#ids = new PacketIds((packetId) => options.isKept(packetId));
    this.#client = connect(options.url, this.#clientOptions());
    this.#client.handleMessage = (packet, done) => this.#onMessage(packet, done as Done);
    this.#listen();
    this.#deadline = setTimeout(() => this.fail('the remote was not ready in time'), READY_WITHIN_MS);
    try {
      this.#client.connect();
      const { stream } = this.#client;
      // What is written in one turn goes out at once; websockets see to that themselves.
      if (stream instanceof Socket) stream.setNoDelay(true);
    } catch (error) {
      // A certificate or key that is none is found out here.
      this.#failure = errorText(error as Error);
      setImmediate(() => this.#onClosed());
    }
  }

  /** The connection has ended. */
  get isOver(): boolean {
    return this.#over;
  }

  /** The socket takes no more for now; `onDrain` follows. */
  get isFull(): boolean {
    return this.#client.stream.writableLength > HIGH_WATER_BYTES;
  }

  /** Whether something is on its way under the id. */
  isUsed(packetId: number): boolean {
    return this.#ids.isUsed(packetId);
  }

  /** A message of QoS 1 or 2 whose `packetId` is 0 gets an id, which is returned; 0: QoS 0, or no id is free. */
  publish({ topic, payload, qos, retain, dup, packetId, properties }: OutgoingMessage): number {
    if (packetId > 0) this.#ids.give(packetId);
    let id = packetId;
    const options = { qos, retain, dup, ...(this.#options.version === '5' ? { properties: encodeProperties(properties) } : {}) };
    if (qos === 0) {
      this.#client.publish(topic, payload as Buffer, options);
      return 0;
    }
    // The package is told the id in this call.
    this.#client.publish(topic, payload as Buffer, options, (error) => this.#onPublished(id, error as Error | undefined));
    if (id === 0) id = this.#ids.getLastAllocated() ?? 0;
    return id;
  }

  /** `done`: the filters that the remote refused. */
  subscribe(filters: readonly RemoteFilter[], done: (refused: readonly string[]) => void): void {
    const levels = [...new Set(filters.map(({ qos }) => qos))];
    const refused: string[] = [];
    let open = levels.length;
    for (const qos of levels) {
      const topics = filters.filter((one) => one.qos === qos).map(({ filter }) => filter);
      this.#client.subscribe(topics, { qos, nl: true, rap: true, rh: 0 }, (error, _granted, packet) => {
        if (this.#over) return;
        if (error !== null && packet === undefined) return this.fail(errorText(error));
        const codes = (packet?.granted ?? []) as readonly number[];
        refused.push(...topics.filter((_topic, at) => (codes[at] as number) >= 0x80));
        open -= 1;
        if (open === 0) done(refused);
      });
    }
  }

  unsubscribe(filters: readonly string[]): void {
    this.#client.unsubscribe([...filters], (error) => {
      if (error && !this.#over) this.fail(errorText(error));
    });
  }

  /** The message is stored. Acknowledgements of QoS 1 leave with `flush`. */
  acknowledge({ qos, packetId }: RemoteMessage): void {
    if (qos === 1) {
      this.#acknowledged.push(packetId);
      return;
    }
    const confirm = this.#unconfirmed.get(packetId);
    this.#unconfirmed.delete(packetId);
    if (!this.#over) confirm?.();
  }

  flush(): void {
    if (this.#acknowledged.length === 0) return;
    const bytes = Buffer.allocUnsafe(this.#acknowledged.length * 4);
    let at = 0;
    for (const packetId of this.#acknowledged) {
      bytes[at] = FIRST_BYTE.PUBACK;
      bytes[at + 1] = 2;
      at = bytes.writeUInt16BE(packetId, at + 2);
    }
    this.#acknowledged = [];
    if (!this.#over) this.#client.stream.write(bytes);
  }

  /** Nothing more is read until `resume`, but what the package has in hand. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const readOn = this.#readOn;
    this.#readOn = null;
    readOn?.();
  }

  /** Says goodbye and ends; `onLost` follows. */
  close(): void {
    if (this.#over) return;
    this.#failure ??= 'closed';
    if (!this.#accepted) return this.destroy();
    // DISCONNECT without properties has the same two bytes in both versions.
    const destroyAfter = (ms: number): void => void setTimeout(() => this.destroy(), ms).unref();
    this.#client.stream.end(Buffer.of(PACKET.DISCONNECT << 4, 0), () => destroyAfter(CLOSE_GRACE_MS));
    destroyAfter(LINGER_MS);
  }

  destroy(): void {
    if (!this.#over) this.#client.stream?.destroy();
  }

  /** Ends the connection without goodbye, for this reason. */
  fail(reason: string): void {
    this.#failure ??= reason;
    this.destroy();
  }

  #clientOptions(): IClientOptions {
    const { version, clientId, username, password, ca, cert, key, rejectUnauthorized, maxPacketBytes, receiveMaximum } = this.#options;
    const { cleanSession: clean, keepAliveSeconds: keepalive } = this.#options;
    return {
      ...{ clientId, clean, keepalive, rejectUnauthorized },
      ...{ manualConnect: true, reconnectPeriod: 0, resubscribe: false, queueQoSZero: false, connectTimeout: READY_WITHIN_MS },
      ...(username === null ? {} : { username }),
      ...(password === null ? {} : { password }),
      ...(ca === null ? {} : { ca }),
      ...(cert === null || key === null ? {} : { cert, key }),
      protocolVersion: version === '5' ? 5 : 4,
      ...(version === '5' ? { properties: connectProperties(clean, receiveMaximum, maxPacketBytes) } : {}),
      messageIdProvider: this.#ids,
      incomingStore: this.#incomingStore(),
      outgoingStore: this.#outgoingStore(),
    };
  }

  #listen(): void {
    const client = this.#client;
    client.on('packetsend', (packet) => {
      // The package has no option for it; the packet is written after this event.
      if (packet.cmd === 'connect' && this.#options.bridgeMode) Object.assign(packet, { bridgeMode: true });
    });
    client.on('packetreceive', (packet) => this.#onPacket(packet));
    client.on('connect', () => this.#onReady());
    client.on('disconnect', ({ reasonCode = 0 }) => {
      if (reasonCode > 0) this.#failure ??= refusalText(reasonCode);
    });
    client.on('error', (error: Error & { readonly code?: unknown }) => {
      this.#cut ||= error.code === 'ECONNRESET';
      this.fail(errorText(error));
    });
    client.on('close', () => this.#onClosed());
  }

  #onPacket(packet: Packet): void {
    if (packet.cmd !== 'connack' || this.#over) return;
    this.#answered = true;
    const code = packet.reasonCode ?? packet.returnCode ?? 0;
    if (code > 0) {
      this.#levelRefused = UNACCEPTABLE_VERSION.includes(code);
      return;
    }
    this.#accepted = true;
    this.#owner.onAccepted(this.#factsOf(packet));
  }

  #factsOf({ sessionPresent, properties }: IConnackPacket): RemoteFacts {
    const node = properties?.userProperties?.[NODE_PROPERTY];
    return {
      sessionPresent,
      receiveMaximum: properties?.receiveMaximum ?? PACKET_ID_MAX,
      maximumQos: (properties?.maximumQoS ?? 2) as Qos,
      retainAvailable: properties?.retainAvailable ?? true,
      maximumPacketBytes: properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY,
      noEcho: this.#options.version === '5' || this.#options.bridgeMode,
      node: typeof node === 'string' ? node : null,
    };
  }

  #onReady(): void {
    clearTimeout(this.#deadline);
    if (this.#over || this.#failure !== null) return;
    this.#client.stream.on('drain', () => {
      if (!this.#over) this.#owner.onDrain();
    });
    this.#owner.onReady();
  }

  #onClosed(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#unconfirmed.clear();
    this.#readOn = null;
    const loss: Loss = {
      accepted: this.#accepted,
      reason: this.#failure ?? CLOSED,
      levelRefused: this.#levelRefused || (!this.#answered && (this.#cut || this.#failure === null)),
    };
    this.#owner.onLost(loss);
  }

  /** Of QoS 0 and 1 when it comes; of QoS 2 when it is released, which is all that is left to do then. */
  #onMessage(packet: IPublishPacket, done: Done): void {
    if (this.#over) return;
    if (packet.qos === 2) {
      const packetId = packet.messageId as number;
      this.#owner.onReleased(packetId, () => {
        if (!this.#over) done();
      });
      return;
    }
    this.#owner.onMessage(messageOf(packet));
    const readOn = (): void => done(packet.qos === 1 ? ACKNOWLEDGED_LATER : undefined);
    if (this.#paused) this.#readOn = readOn;
    else readOn();
  }

  #onPublished(packetId: number, error: Error | undefined | null): void {
    if (this.#over) return;
    // A refusal has a reason code; every other error ends the connection, and the message stays where it is.
    const code = (error as { code?: unknown } | null | undefined)?.code;
    if (error === undefined || error === null) this.#owner.onCompleted(packetId, null);
    else if (typeof code === 'number') this.#owner.onCompleted(packetId, refusalText(code));
    else this.fail(errorText(error));
  }

  /** Messages of QoS 2: PUBREC waits for `put`, PUBREL asks `get` what it releases. */
  #incomingStore(): IStore {
    const store: IStore = {
      put: (packet, done) => {
        const message = messageOf(packet as IPublishPacket);
        this.#unconfirmed.set(message.packetId, done);
        if (!this.#over) this.#owner.onMessage(message);
        return store;
      },
      get: ({ messageId }, done) => {
        done(undefined, { cmd: 'publish', topic: '', payload: EMPTY, qos: 2, retain: false, dup: false, messageId: messageId as number });
        return store;
      },
      del: (_packet, done) => {
        done();
        return store;
      },
      createStream: () => Readable.from([]) as unknown as ReturnType<IStore['createStream']>,
      close: (done) => done(),
    };
    return store;
  }

  /** PUBREL waits for `put`; messages are stored already. After CONNACK what is to be released goes first. */
  #outgoingStore(): IStore {
    const unreleased = (): object[] => [...this.#unreleased].map((messageId) => ({ cmd: 'pubrel', qos: 2, messageId }));
    const store: IStore = {
      put: (packet, done) => {
        if (packet.cmd !== 'pubrel') done();
        else {
          this.#owner.onReceived(packet.messageId as number, () => {
            if (!this.#over) done();
          });
        }
        return store;
      },
      get: (_packet, done) => {
        done(new Error('nothing is kept here'));
        return store;
      },
      del: ({ messageId }, done) => {
        if (this.#unreleased.delete(messageId as number) && !this.#over) this.#owner.onCompleted(messageId as number, null);
        done();
        return store;
      },
      createStream: () => Readable.from(unreleased()) as unknown as ReturnType<IStore['createStream']>,
      close: (done) => done(),
    };
    return store;
  }
}

function connectProperties(clean: boolean, receiveMaximum: number, maximumPacketSize: number): NonNullable<IClientOptions['properties']> {
  return { sessionExpiryInterval: clean ? 0 : NEVER_SECONDS, receiveMaximum, maximumPacketSize };
}
