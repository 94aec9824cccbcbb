// The package's face for programs that embed a gateway. Importing it starts nothing and loads no adapter.

import { type Config, type ConfigInput, loadConfig } from './config/index.js';
import type { Built, HappnLayers, LocalClient } from './container.js';
import { ConfigError, StartError } from './core/errors.js';
import type { Credentials, Listeners, Log } from './core/index.js';
import { checkOptions } from './embed-options.js';
import { CustomRoutes, type GatewayHttp } from './http/custom-routes.js';

export type { Config, ConfigInput } from './config/index.js';
export type {
  EventMessage,
  HappnLayers,
  InboundMessage,
  Layer,
  LayerSession,
  LocalClient,
  LocalClientError,
  LocalDocument,
  LocalEventHandler,
  LocalGetOptions,
  LocalHandler,
  LocalMeta,
  LocalOnOptions,
  LocalSetOptions,
  OutboundMessage,
  ResponseMessage,
} from './container.js';
export type { Credentials, Listeners, Listening, Log } from './core/index.js';
export type { GatewayHttp, HttpHandler } from './http/custom-routes.js';
export { ConfigError, StartError };

export interface EmbedOptions {
  /** Receives the log. Default: stderr, as configured. */
  readonly log?: Log;
  /** Layers that the messages of happn websocket clients pass through. */
  readonly happn?: HappnLayers;
  /**
   * Gets the generated password of _ADMIN, once, at the first start with `secure`. Required with `secure` unless `admin.password` or
   * `admin.passwordFile` is set.
   */
  readonly onAdminPassword?: (password: string) => void;
}

export interface EmbeddedGateway {
  readonly config: Config;
  /** Host and port of each listener: happn, mqtt, haven, admin; mqttTls if configured. Empty unless running. */
  readonly listeners: Listeners;
  /** Routes of this program on the happn and HTTP port. */
  readonly http: GatewayHttp;
  /** Resolves when all listeners accept connections. Rejects with StartError and leaves nothing open. Once per gateway. */
  start(): Promise<Listeners>;
  /**
   * A happn client in this process, without socket and serialisation. Rejects unless the gateway is running. It ends with the gateway;
   * requests in flight are answered first, as far as time allows.
   */
  localClient(credentials?: Credentials): Promise<LocalClient>;
  /**
   * Stops accepting, answers requests in flight, closes; within 5 s. Never rejects; may be called before `start` and repeatedly.
   * `reconnect: false` tells happn clients not to reconnect; the other protocols cannot express it.
   */
  stop(options?: { readonly reconnect?: boolean }): Promise<void>;
}

const NOT_LISTENING: Listeners = new Map();

/** Throws ConfigError for an unknown key or option, or a bad value. Environment and files are not read. */
export function createGateway(input: ConfigInput = {}, options: EmbedOptions = {}): EmbeddedGateway {
  const { config } = loadConfig({ given: input });
  checkOptions(options);
  if (config.secure && options.onAdminPassword === undefined && config.admin.password === null && config.admin.passwordFile === null) {
    throw new ConfigError('admin.password: nobody would learn the generated one; set one, or the option onAdminPassword (given)');
  }
  const http = new CustomRoutes();
  let building: Promise<Built> | null = null;
  let built: Built | null = null;
  const build = async (): Promise<Built> => {
    const { buildGateway, buildLog } = await import('./container.js');
    const { onAdminPassword: tellPassword = () => {}, happn: layers } = options;
    built = await buildGateway(config, options.log ?? buildLog(config).log, { routes: http, layers, tellPassword });
    return built;
  };
  return {
    config,
    get listeners() {
      return built?.gateway.listeners ?? NOT_LISTENING;
    },
    http,
    async start() {
      building ??= build();
      return await (await building).gateway.start();
    },
    async stop({ reconnect = true } = {}) {
      if (building !== null) await (await building).gateway.stop(reconnect);
    },
    async localClient(credentials) {
      if (built === null) throw new Error('the gateway is not running');
      return await built.localClient(credentials);
    },
  };
}
