// mqtt.js as a client of stories, over TCP or websocket.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { type ConnectOptions, type Heard, type Maker, SESSION_EXPIRY, type StoryClient, VERSION_NAMES, type Version } from './client.js';

class MqttJs implements StoryClient {
  readonly heard: Heard[] = [];
  sessionPresent = false;
  ended = false;

  constructor(private readonly client: MqttClient) {
    client.on('message', (topic, payload, { qos, retain }) => this.heard.push({ topic, payload, qos, retain }));
    client.on('close', () => {
      this.ended = true;
    });
  }

  async subscribe(filter: string, qos: number): Promise<number> {
    const [granted] = await this.client.subscribeAsync(filter, { qos: qos as 0 });
    return granted?.qos as number;
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.client.unsubscribeAsync(filter);
  }

  async publish(topic: string, payload: string | Buffer, qos: number, retain = false): Promise<void> {
    await this.client.publishAsync(topic, payload, { qos: qos as 0, retain });
  }

  holdStill(): void {}

  async disconnect(): Promise<void> {
    await this.client.endAsync();
  }

  async cut(): Promise<void> {
    await this.client.endAsync(true);
  }
}

function optionsOf(version: Version, { clientId, clean = true, keepAlive = 60, will }: ConnectOptions): IClientOptions {
  return {
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    clientId,
    clean,
    keepalive: keepAlive,
    reconnectPeriod: 0,
    ...(will && { will: { ...will, payload: Buffer.from(will.payload), qos: will.qos as 0 } }),
    ...(version === 5 && !clean && { properties: { sessionExpiryInterval: SESSION_EXPIRY } }),
  };
}

/** `url` is asked for with each connection: its port is known only when the gateway runs. */
export function mqttJs(version: Version, transport: string, url: () => string): Maker {
  return {
    name: `mqtt.js, ${VERSION_NAMES[version]} over ${transport}`,
    version,
    shortestKeepAlive: 1,
    canUnsubscribe: true,
    leavesWillAlways: false,
    connect: (options) =>
      new Promise((resolve, reject) => {
        const client = mqtt.connect(url(), optionsOf(version, options));
        const made = new MqttJs(client);
        client.once('error', reject);
        client.once('connect', ({ sessionPresent }) => {
          made.sessionPresent = sessionPresent;
          resolve(made);
        });
      }),
  };
}
