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
  /** Where the log goes; as configured, on stderr, when absent. */
  readonly log?: Log;
  /** What the messages of happn websocket clients pass through. */
  readonly happn?: HappnLayers;
  /**
   * Is told the password of _ADMIN when the first start with `secure` has made one, this once. Without it that start needs
   * `admin.password` or `admin.passwordFile`.
   */
  readonly onAdminPassword?: (password: string) => void;
}

export interface EmbeddedGateway {
  readonly config: Config;
  /** Where each listener accepts: happn, mqtt, haven, admin; mqttTls where asked for. Empty unless running. */
  readonly listeners: Listeners;
  /** Routes of this program on the port of happn and HTTP. */
  readonly http: GatewayHttp;
  /** All listeners accept when this resolves. Rejects with StartError and leaves nothing open. Once per gateway. */
  start(): Promise<Listeners>;
  /**
   * A happn client in this process: no socket, no text. Rejects unless the gateway runs. It ends with the gateway: what it then
   * has in flight is answered first, as far as time allows.
   */
  localClient(credentials?: Credentials): Promise<LocalClient>;
  /**
   * Stops accepting, settles what is in flight, closes; within 5 s. Never rejects; harmless before `start` and again.
   * `reconnect: false` tells happn clients not to come back by themselves; the other protocols have no word for it.
   */
  stop(options?: { readonly reconnect?: boolean }): Promise<void>;
}

const NOT_LISTENING: Listeners = new Map();

/** Throws ConfigError for a key, an option or a value that there is not. Environment and files are not read. */
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
