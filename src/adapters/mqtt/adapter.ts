// MqttAdapter: the ports of MQTT, over TCP and TLS, and websockets at /mqtt; checks the deadlines of everything that is
// open there. Connections themselves are the business of client-host.ts.

import type { SecureContextOptions } from 'node:tls';
import type { Adapter, AdapterContext, ConnectionError, Listeners, Listening } from '../../core/index.js';
import { AddressList } from './addresses.js';
import { Broker } from './broker.js';
import { ClientHost } from './client-host.js';
import type { MqttConfig } from './config.js';
import { Listener } from './listener.js';
import { Websockets } from './websockets.js';

const TICK_MS = 500;
const WEBSOCKET_PATH = '/mqtt';
const TLS_LISTENER = 'mqttTls';

export class MqttAdapter implements Adapter {
  readonly name = 'mqtt';
  readonly #config: MqttConfig;
  readonly #listeners = new Map<string, Listener>();
  #secureContext: SecureContextOptions | null = null;
  #clients: ClientHost | null = null;
  #websockets: Websockets | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(config: MqttConfig) {
    this.#config = config;
  }

  /** Those of the present run. */
  get clients(): ClientHost {
    if (this.#clients === null) throw new Error('the MQTT adapter is not started');
    return this.#clients;
  }

  async start(context: AdapterContext): Promise<Listeners> {
    const proxies = new AddressList(this.#config.proxyAddresses ?? []);
    const broker = await Broker.start(context);
    const clients = new ClientHost(this.#config, context, broker, proxies);
    this.#clients = clients;
    this.#makeListeners(clients, proxies);
    const listening = new Map<string, Listening>();
    try {
      for (const [name, listener] of this.#listeners) listening.set(name, await listener.open());
    } catch (error) {
      for (const listener of this.#listeners.values()) listener.close();
      broker.close();
      throw error;
    }
    const websockets = new Websockets(clients);
    this.#websockets = websockets;
    context.http.upgrade(WEBSOCKET_PATH, false, (request, socket, head) => websockets.onUpgrade(request, socket, head));
    this.#timer = setInterval(() => this.#tick(clients), TICK_MS);
    this.#timer.unref();
    clients.system.start();
    return listening;
  }

  #makeListeners(clients: ClientHost, proxies: AddressList): void {
    const { host, port, tls, proxyProtocol = 'off' } = this.#config;
    const shared = { host, proxies: proxyProtocol === 'required' ? proxies : null, timeoutMs: clients.limits.connectTimeoutMs };
    this.#listeners.set(this.name, new Listener({ ...shared, port, key: 'mqtt.port', tls: null }, clients));
    if (tls?.port != null)
      this.#listeners.set(TLS_LISTENER, new Listener({ ...shared, port: tls.port, key: 'mqtt.tls.port', tls }, clients));
    if (this.#secureContext !== null) this.setSecureContext(this.#secureContext);
  }

  /** Certificate of the TLS port from now on, also before the start. */
  setSecureContext(options: SecureContextOptions): void {
    this.#secureContext = options;
    this.#listeners.get(TLS_LISTENER)?.setSecureContext(options);
  }

  #tick(clients: ClientHost): void {
    const now = clients.context.clock.monotonic();
    for (const listener of this.#listeners.values()) listener.onTick(now);
    clients.onTick(now);
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    this.#websockets?.close();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const listener of this.#listeners.values()) listener.close();
    await this.#clients?.stop(deadlineMs, reason);
  }
}
