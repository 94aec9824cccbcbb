// The composition root: which class stands for which part. The only file that knows the container, the adapters by name,
// and where the log goes.

import 'reflect-metadata';
import { join } from 'node:path';
import { type DependencyContainer, type InjectionToken, instancePerContainerCachingFactory as once, container as root } from 'tsyringe';
import { HappnAdapter, type HappnLayers, type LocalClient } from './adapters/happn/index.js';
import { HavenAdapter, msgpack } from './adapters/haven/index.js';
import { BridgeAdapter, clientOf, MqttAdapter, whose } from './adapters/mqtt/index.js';
import { GatewayAdministration } from './administration.js';
import { type Config, usesTls } from './config/index.js';
import { binary, json, raw } from './core/data/formats.js';
import { INBOUND_LIMITS } from './core/engine/inbound-queue.js';
import { Engine, type EngineLimits } from './core/engine.js';
import {
  type Adapter,
  Audit,
  type Clock,
  Counters,
  type Credentials,
  type Format,
  type Formats,
  type Log,
  Room,
  THE_GATEWAY,
} from './core/index.js';
import { SCAN_LIMITS } from './core/scans/scan-host.js';
import { type Access, OPEN_ACCESS } from './core/security/access.js';
import { Directory } from './core/security/directory.js';
import { DirectoryAccess } from './core/security/directory-access.js';
import { LevelStore } from './core/store/level-store.js';
import type { Store } from './core/store/store.js';
import { CERTIFICATE_FILE, STORE_FOLDER } from './data-directory.js';
import { Gateway } from './gateway.js';
import { connectionsWithin, handleLimit, roomWithin } from './handles.js';
import { AdminListener } from './http/admin.js';
import { AuthRoutes } from './http/auth-routes.js';
import { CustomRoutes } from './http/custom-routes.js';
import { HttpListener } from './http/listener.js';
import { Metrics } from './http/metrics.js';
import { RouteGuard } from './http/route-guard.js';
import { type OpenLog, openLog } from './log.js';
import { HashQueue } from './security/hash-queue.js';
import type { Security, SecurityOptions, SecurityParts } from './security/security.js';
import { Authorities } from './tls/authorities.js';
import { Certificate } from './tls/certificate.js';
import { TokenLogins } from './token-logins.js';
import { VERSION } from './version.js';

/** Records read or written lately stay in memory up to this; the store remains the truth. */
const CACHE_BYTES = 64 * 1024 * 1024;

export const TOKEN = {
  config: Symbol('config') as InjectionToken<Config>,
  log: Symbol('log') as InjectionToken<Log>,
  clock: Symbol('clock') as InjectionToken<Clock>,
  counters: Symbol('counters') as InjectionToken<Counters>,
  formats: Symbol('formats') as InjectionToken<Formats>,
  access: Symbol('access') as InjectionToken<Access>,
  directory: Symbol('directory') as InjectionToken<Directory>,
  audit: Symbol('audit') as InjectionToken<Audit>,
  /** Null when nobody has to log in. */
  security: Symbol('security') as InjectionToken<Security | null>,
  /** Is told the password of _ADMIN when one was made. */
  tellPassword: Symbol('tell password') as InjectionToken<(password: string) => void>,
  store: Symbol('store') as InjectionToken<Store>,
  engine: Symbol('engine') as InjectionToken<Engine>,
  /** Null when nothing speaks TLS. */
  certificate: Symbol('certificate') as InjectionToken<Certificate | null>,
  /** Who vouches for MQTT clients; null when these are not asked for certificates. */
  authorities: Symbol('authorities') as InjectionToken<Authorities | null>,
  /** Null when the system does not say how much there is. */
  room: Symbol('room') as InjectionToken<Room | null>,
  routes: Symbol('routes') as InjectionToken<CustomRoutes>,
  http: Symbol('http') as InjectionToken<HttpListener>,
  happn: Symbol('happn') as InjectionToken<HappnAdapter>,
  mqtt: Symbol('mqtt') as InjectionToken<MqttAdapter>,
  adapter: Symbol('adapter') as InjectionToken<Adapter>,
  gateway: Symbol('gateway') as InjectionToken<Gateway>,
};

export type * from './adapters/happn/index.js';

export interface Built {
  readonly gateway: Gateway;
  /** Rejects unless the gateway runs. */
  readonly localClient: (credentials?: Credentials) => Promise<LocalClient>;
  readonly counters: Counters;
  readonly log: Log;
}

export interface BuildOptions {
  readonly routes?: CustomRoutes;
  readonly layers?: HappnLayers | undefined;
  /** Is told the password of _ADMIN when the first secure start has made one, this once. */
  readonly tellPassword: (password: string) => void;
}

/** A gateway as configured, not started. Building several in one process is fine: nothing is shared. */
export async function buildGateway(config: Config, log: Log, options: BuildOptions): Promise<Built> {
  const { routes = new CustomRoutes(), layers = {}, tellPassword } = options;
  const container = root.createChildContainer();
  container.register(TOKEN.config, { useValue: config });
  container.register(TOKEN.log, { useValue: log });
  container.register(TOKEN.routes, { useValue: routes });
  container.register(TOKEN.tellPassword, { useValue: tellPassword });
  registerCore(container);
  registerSecurity(container, config.secure ? await loadSecurity() : null);
  container.register(TOKEN.happn, { useFactory: once((parts) => buildHappn(parts.resolve(TOKEN.config), layers)) });
  registerAdapters(container);
  registerGateway(container);
  return {
    gateway: container.resolve(TOKEN.gateway),
    localClient: (credentials) => container.resolve(TOKEN.happn).localClient(credentials),
    counters: container.resolve(TOKEN.counters),
    log,
  };
}

function buildHappn({ happn, security }: Config, layers: HappnLayers | undefined): HappnAdapter {
  return new HappnAdapter({ ...happn, cookieName: security.http.cookieName }, layers);
}

/** The log as configured; text for a terminal unless told otherwise. */
export function buildLog(config: Config): OpenLog {
  const { level, format } = config.log;
  return openLog({ level, format: format === 'auto' ? (process.stderr.isTTY ? 'text' : 'json') : format });
}

const CLOCK: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() });

function registerCore(container: DependencyContainer): void {
  container.register(TOKEN.clock, { useValue: CLOCK });
  container.register(TOKEN.counters, { useFactory: once(() => new Counters()) });
  container.register(TOKEN.formats, { useFactory: once(() => formatsOf([json, msgpack, raw, binary])) });
  container.register(TOKEN.directory, {
    useFactory: once((parts) => new Directory({ nestedPermissions: parts.resolve(TOKEN.config).security.allowNestedPermissions })),
  });
  container.register(TOKEN.audit, {
    useFactory: once((parts) => {
      const { audit } = parts.resolve(TOKEN.config);
      return new Audit(parts.resolve(TOKEN.clock), parts.resolve(TOKEN.log), parts.resolve(TOKEN.counters), audit);
    }),
  });
  container.register(TOKEN.store, {
    useFactory: once((parts) => {
      const { data, durability } = parts.resolve(TOKEN.config);
      const notice = (text: string): void => parts.resolve(TOKEN.log).warn({}, text);
      return new LevelStore({ location: join(data.dir, STORE_FOLDER), durability, acceptDamage: data.acceptDamage, notice });
    }),
  });
  container.register(TOKEN.engine, {
    useFactory: once(
      (parts) =>
        new Engine({
          store: parts.resolve(TOKEN.store),
          durability: parts.resolve(TOKEN.config).durability,
          formats: parts.resolve(TOKEN.formats),
          access: parts.resolve(TOKEN.access),
          directory: parts.resolve(TOKEN.directory),
          audit: parts.resolve(TOKEN.audit),
          clock: parts.resolve(TOKEN.clock),
          log: parts.resolve(TOKEN.log),
          counters: parts.resolve(TOKEN.counters),
          limits: engineLimits(parts.resolve(TOKEN.config)),
          whose,
        }),
    ),
  });
}

function engineLimits({ data, queue, history, historyMaxBytes }: Config): EngineLimits {
  return {
    inbound: INBOUND_LIMITS,
    queue,
    scan: SCAN_LIMITS,
    cacheBytes: CACHE_BYTES,
    pathIndexBytes: data.pathIndexBytes,
    history: { rules: history, maxBytes: historyMaxBytes },
  };
}

type MakeSecurity = (options: SecurityOptions, parts: SecurityParts) => Security;

/** What passwords, keys and tokens need is much to load where nobody has to log in. */
async function loadSecurity(): Promise<MakeSecurity> {
  const { Security } = await import('./security/security.js');
  return (options, parts) => new Security(options, parts);
}

function registerSecurity(container: DependencyContainer, makeSecurity: MakeSecurity | null): void {
  container.register(TOKEN.security, {
    useFactory: once((parts) => {
      const { security, admin, data } = parts.resolve(TOKEN.config);
      if (makeSecurity === null) return null;
      return makeSecurity(
        { ...security, admin, dataDir: data.dir },
        {
          directory: parts.resolve(TOKEN.directory),
          // The engine asks for access, and is asked only once it runs.
          change: (command, asker) => parts.resolve(TOKEN.engine).administer(command, THE_GATEWAY, asker),
          tell: parts.resolve(TOKEN.tellPassword),
          clock: parts.resolve(TOKEN.clock),
          log: parts.resolve(TOKEN.log),
          counters: parts.resolve(TOKEN.counters),
          format: json,
          audit: parts.resolve(TOKEN.audit),
        },
      );
    }),
  });
  container.register(TOKEN.access, {
    useFactory: once((parts) => {
      const security = parts.resolve(TOKEN.security);
      if (security === null) return OPEN_ACCESS;
      return new DirectoryAccess(parts.resolve(TOKEN.directory), security.authenticator, parts.resolve(TOKEN.clock));
    }),
  });
}

function registerAdapters(container: DependencyContainer): void {
  const add = (make: (config: Config) => Adapter): void => {
    container.register(TOKEN.adapter, { useFactory: once((parts) => make(parts.resolve(TOKEN.config))) });
  };
  container.register(TOKEN.adapter, { useFactory: once((parts) => parts.resolve(TOKEN.happn)) });
  container.register(TOKEN.mqtt, { useFactory: once((parts) => mqttAdapter(parts)) });
  container.register(TOKEN.adapter, { useFactory: once((parts) => parts.resolve(TOKEN.mqtt)) });
  add(({ host, haven }) => new HavenAdapter({ host, ...haven }));
  add(({ bridges, mqtt: { maxPacketBytes } }) => new BridgeAdapter({ bridges, maxPacketBytes }));
}

function mqttAdapter(parts: DependencyContainer): MqttAdapter {
  const { host, mqtt } = parts.resolve(TOKEN.config);
  const { port, mountPoint, responseInformation, sysIntervalMs, proxyProtocol, proxyAddresses, tls, ...given } = mqtt;
  const limits = { ...given, maxConnections: possibleConnections(given.maxConnections, parts.resolve(TOKEN.log)) };
  const own = { mountPoint, responseInformation, sysIntervalMs, proxyProtocol, proxyAddresses, tls };
  const adapter = new MqttAdapter({ host, port, ...own, limits });
  if (tls.port === null) return adapter;
  const certificate = parts.resolve(TOKEN.certificate);
  const authorities = parts.resolve(TOKEN.authorities);
  authorities?.addUser(adapter);
  certificate?.addUser(authorities ?? adapter);
  return adapter;
}

function possibleConnections(wanted: number, log: Log): number {
  const handles = handleLimit();
  const possible = connectionsWithin(wanted, handles);
  if (possible < wanted) {
    // Most systems give fewer than the default asks for: nothing to tell at every start.
    log.debug(
      { handles, maxConnections: possible },
      'the system gives this process too few file handles for mqtt.maxConnections; see ulimit -n',
    );
  }
  return possible;
}

function registerGateway(container: DependencyContainer): void {
  container.register(TOKEN.certificate, {
    useFactory: once((parts) => {
      const { host, data, tls } = parts.resolve(TOKEN.config);
      if (!usesTls(parts.resolve(TOKEN.config))) return null;
      const options = { ...tls, host, madeFile: join(data.dir, CERTIFICATE_FILE) };
      return new Certificate(options, parts.resolve(TOKEN.clock), parts.resolve(TOKEN.log), parts.resolve(TOKEN.counters));
    }),
  });
  container.register(TOKEN.authorities, {
    useFactory: once((parts) => {
      const { mqtt, tls } = parts.resolve(TOKEN.config);
      if (mqtt.tls.clientCaFile === null) return null;
      const options = { key: 'mqtt.tls.clientCaFile', file: mqtt.tls.clientCaFile, checkMs: tls.checkMs };
      return new Authorities(options, parts.resolve(TOKEN.log), parts.resolve(TOKEN.counters));
    }),
  });
  container.register(TOKEN.room, {
    useFactory: once((parts) => {
      const handles = handleLimit();
      return handles === null ? null : new Room(roomWithin(handles), parts.resolve(TOKEN.log), parts.resolve(TOKEN.counters));
    }),
  });
  container.register(TOKEN.http, {
    useFactory: once((parts) => {
      const { host, happn, http, tls, security } = parts.resolve(TOKEN.config);
      const [logins, log] = [webLogins(parts), parts.resolve(TOKEN.log)];
      const origins = { listed: new Set(http.origins) };
      const guard = logins === null ? null : new RouteGuard(logins, security.http, origins, parts.resolve(TOKEN.clock));
      const options = {
        host,
        port: happn.port,
        ...http,
        tls: tls.enabled,
        custom: parts.resolve(TOKEN.routes),
        guard,
        room: parts.resolve(TOKEN.room),
      };
      const listener = new HttpListener(options, log, parts.resolve(TOKEN.counters));
      if (logins !== null) new AuthRoutes(logins, security.http, origins, log).addTo(listener);
      if (tls.enabled) parts.resolve(TOKEN.certificate)?.addUser(listener);
      return listener;
    }),
  });
  container.register(TOKEN.gateway, {
    useFactory: once((parts) => {
      const config = parts.resolve(TOKEN.config);
      const log = parts.resolve(TOKEN.log);
      const counters = parts.resolve(TOKEN.counters);
      const house = administration(parts);
      const loadApi = async () => (await import('./http/api/api.js')).apiListener(house, VERSION, log);
      return new Gateway({
        config,
        engine: parts.resolve(TOKEN.engine),
        adapters: parts.resolveAll(TOKEN.adapter),
        http: parts.resolve(TOKEN.http),
        room: parts.resolve(TOKEN.room),
        security: parts.resolve(TOKEN.security),
        tls: [parts.resolve(TOKEN.authorities), parts.resolve(TOKEN.certificate)].filter((part) => part !== null),
        admin: (health) => new AdminListener({ ...config.http, ...config.admin }, health, new Metrics(counters), loadApi, log),
        log,
        clock: parts.resolve(TOKEN.clock),
        counters,
      });
    }),
  });
}

/** null: nobody has to log in. */
function webLogins(parts: DependencyContainer): TokenLogins | null {
  const security = parts.resolve(TOKEN.security);
  return security === null ? null : new TokenLogins(security.authenticator, 'http');
}

function administration(parts: DependencyContainer): GatewayAdministration {
  const security = parts.resolve(TOKEN.security);
  return new GatewayAdministration({
    engine: parts.resolve(TOKEN.engine),
    directory: parts.resolve(TOKEN.directory),
    audit: parts.resolve(TOKEN.audit),
    logins: security === null ? null : new TokenLogins(security.authenticator, 'admin'),
    queue: security?.queue ?? new HashQueue(parts.resolve(TOKEN.counters)),
    clock: parts.resolve(TOKEN.clock),
    clientOf,
  });
}

function formatsOf([json, msgpack, raw, binary]: readonly [Format, Format, Format, Format]): Formats {
  const byId = new Map([json, msgpack, raw, binary].map((format) => [format.id, format]));
  return Object.freeze({ json, msgpack, raw, binary, byId });
}
