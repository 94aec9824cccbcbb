// An MQTT broker that does nothing by itself but accept connections: tests say what it answers, and see every packet.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import mqttPacket, { type IConnackPacket, type IConnectPacket, type IPublishPacket } from 'mqtt-packet';
import { onTestFinished } from 'vitest';
import { until } from './gateway-process.js';
import type { MqttPacket } from './mqtt-wire.js';

export interface RemoteBehaviour {
  /** null: the connection is closed instead of an answer. 'later': the test answers. */
  connack?: (connect: IConnectPacket) => Partial<IConnackPacket> | null | 'later';
  /** Acknowledgements of PUBLISH, PUBREL and SUBSCRIBE are sent; default true. */
  acknowledges?: boolean;
}

/** One connection of a bridge. */
export class RemoteConnection {
  readonly packets: MqttPacket[] = [];
  ended = false;
  #version = 4;

  constructor(
    readonly socket: Socket,
    readonly behaviour: RemoteBehaviour,
  ) {
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => this.#onPacket(packet as MqttPacket));
    socket.on('data', (chunk) => parser.parse(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
    });
  }

  send(packet: object): void {
    this.socket.write(mqttPacket.generate(packet as never, { protocolVersion: this.#version }));
  }

  publish(topic: string, payload: string, options: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...options });
  }

  /** Packets of one kind, in order. */
  all(cmd: string): MqttPacket[] {
    return this.packets.filter((packet) => packet.cmd === cmd);
  }

  async until(cmd: string, count = 1): Promise<MqttPacket[]> {
    await until(`${count} ${cmd}`, () => this.all(cmd).length >= count).catch((error: Error) => {
      throw new Error(`${error.message}; got ${this.packets.map((packet) => packet.cmd).join(' ')}`);
    });
    return this.all(cmd);
  }

  /** Everything before now was served: the bridge answers nothing to a PINGRESP, so its own PINGREQ is no help; a QoS 1 is. */
  async served(): Promise<void> {
    const messageId = 60_000 + this.all('puback').length;
    this.publish('served', 'x', { qos: 1, messageId });
    await until('the bridge served what it got', () => this.all('puback').some((packet) => packet.messageId === messageId));
  }

  #onPacket(packet: MqttPacket): void {
    this.packets.push(packet);
    const { messageId } = packet;
    if (packet.cmd === 'connect') return this.#onConnect(packet);
    if (this.behaviour.acknowledges === false) return;
    if (packet.cmd === 'publish' && packet.qos === 1) this.send({ cmd: 'puback', messageId });
    else if (packet.cmd === 'publish' && packet.qos === 2) this.send({ cmd: 'pubrec', messageId });
    else if (packet.cmd === 'pubrel') this.send({ cmd: 'pubcomp', messageId });
    else if (packet.cmd === 'subscribe') this.send({ cmd: 'suback', messageId, granted: packet.subscriptions.map(({ qos }) => qos) });
    else if (packet.cmd === 'unsubscribe') this.send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) });
  }

  #onConnect(packet: IConnectPacket): void {
    this.#version = packet.protocolVersion ?? 4;
    const answer = this.behaviour.connack === undefined ? {} : this.behaviour.connack(packet);
    if (answer === null) this.socket.destroy();
    else if (answer !== 'later') this.accept(answer);
  }

  accept(answer: Partial<IConnackPacket> = {}): void {
    this.send({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0, ...answer });
  }
}

export class FakeRemote {
  readonly connections: RemoteConnection[] = [];

  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async start(behaviour: RemoteBehaviour = {}): Promise<FakeRemote> {
    const server = createServer((socket) => remote.connections.push(new RemoteConnection(socket, behaviour)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const remote = new FakeRemote(server, (server.address() as { port: number }).port);
    onTestFinished(() => {
      server.close();
      for (const { socket } of remote.connections) socket.destroy();
    });
    return remote;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** The n-th connection, counted from 1, once its CONNECT is there. */
  async connection(n: number): Promise<RemoteConnection> {
    await until(`connection ${n}`, () => (this.connections[n - 1]?.packets.length ?? 0) > 0);
    return this.connections[n - 1] as RemoteConnection;
  }
}
