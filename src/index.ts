// The package's face for programs that embed a gateway. Importing it starts nothing and loads no adapter.

import { type Config, type ConfigInput, loadConfig } from './config.js';
import type { Listening, Log } from './core/index.js';
import type { Gateway } from './gateway.js';
import { CustomRoutes, type GatewayHttp } from './http/custom-routes.js';

export type { Config, ConfigInput } from './config.js';
export { ConfigError, StartError } from './core/errors.js';
export type { Listening, Log } from './core/index.js';
export type { GatewayHttp, HttpHandler } from './http/custom-routes.js';

export interface EmbedOptions {
  /** Where the log goes; as configured, on stderr, when absent. */
  readonly log?: Log;
}

export interface EmbeddedGateway {
  readonly config: Config;
  /** Where each listener accepts: happn, mqtt, haven, admin. Empty unless running. */
  readonly listeners: ReadonlyMap<string, Listening>;
  /** Routes of this program on the port of happn and HTTP. */
  readonly http: GatewayHttp;
  /** All listeners accept when this resolves. Rejects with StartError and leaves nothing open. Once per gateway. */
  start(): Promise<ReadonlyMap<string, Listening>>;
  /** Stops accepting, settles what is in flight, closes; within 5 s. Never rejects; harmless before `start` and again. */
  stop(): Promise<void>;
}

const NOT_LISTENING: ReadonlyMap<string, Listening> = new Map();

/** Throws ConfigError for a key or value that the schema does not allow. Environment and files are not read. */
export function createGateway(input: ConfigInput = {}, options: EmbedOptions = {}): EmbeddedGateway {
  const { config } = loadConfig({ given: input });
  const http = new CustomRoutes();
  let building: Promise<Gateway> | null = null;
  let built: Gateway | null = null;
  const build = async (): Promise<Gateway> => {
    const { buildGateway, buildLog } = await import('./container.js');
    built = buildGateway(config, options.log ?? buildLog(config).log, http).gateway;
    return built;
  };
  return {
    config,
    get listeners() {
      return built?.listeners ?? NOT_LISTENING;
    },
    http,
    async start() {
      building ??= build();
      return await (await building).start();
    },
    async stop() {
      if (building !== null) await (await building).stop();
    },
  };
}
