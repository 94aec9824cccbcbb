// Configuration: one schema with all defaults, read from flags, environment and file into one frozen object.
// Knows no process: the caller passes arguments, variables and file text in.

import { isIP } from 'node:net';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../core/errors.js';
import { type BridgeInput, bridges, bridgesText } from './bridges.js';
import { type HistoryRuleInput, historyRules, historyText } from './history.js';
import { fromJson, type Issue, plainObjects, refusalWithin, withoutSecrets } from './objects.js';
import { checkRules } from './rules.js';
import {
  groups,
  groupsText,
  profiles,
  profilesText,
  providers,
  providersText,
  type SecurityInput,
  users,
  usersText,
} from './security-lists.js';

/** How a value is written as text (in a flag or a variable), and what the error and the table say about it. */
interface About {
  readonly kind: 'text' | 'number' | 'boolean' | 'list' | 'objects';
  readonly description: string;
  /** What is allowed, as it reads after "must be". */
  readonly allowed: string;
  readonly secret: boolean;
}

const KIB = 1024;
const DAY_MS = 24 * 3_600_000;
const MIB = 1024 * KIB;

function port(value: number, description: string) {
  const type = z.number().int().min(0).max(65_535).default(value);
  return type.meta(about('number', description, 'a port number from 0 (any free port) to 65535'));
}

function optionalPort(description: string) {
  const type = z.number().int().min(0).max(65_535).nullable().default(null);
  return type.meta(about('number', description, 'a port number from 0 (any free port) to 65535'));
}

function whole(value: number, min: number, max: number, description: string) {
  const type = z.number().int().min(min).max(max).default(value);
  return type.meta(about('number', description, `a whole number from ${min} to ${max}`));
}

function flag(value: boolean, description: string) {
  return z
    .boolean()
    .default(value)
    .meta(about('boolean', description, 'true or false'));
}

function choice<const T extends readonly [string, ...string[]]>(value: T[number], values: T, description: string) {
  const type = z.enum(values as unknown as [T[number], ...T[number][]]).default(value as never);
  return type.meta(about('text', description, `one of ${values.join(', ')}`));
}

function optionalText(description: string, allowed: string, secret = false) {
  return z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .meta(about('text', description, allowed, secret));
}

function secretText(description: string) {
  const type = z.string().min(32).max(1_024).nullable().default(null);
  return type.meta(about('text', description, 'a text of 32 to 1024 characters', true));
}

function about(kind: About['kind'], description: string, allowed: string, secret = false): { about: About } {
  return { about: { kind, description, allowed, secret } };
}

function address(value: string, description: string) {
  const type = z.string().refine(isAddress).default(value);
  return type.meta(about('text', description, 'an IP address or a host name'));
}

function pem(description: string) {
  const type = z
    .string()
    .refine((text) => text.includes('-----BEGIN '))
    .nullable()
    .default(null);
  return type.meta(about('text', description, 'a text in PEM form', true));
}

const mountPoint = z
  .string()
  .refine((text) => !/[+#\p{Cc}]/u.test(text) && text.isWellFormed() && Buffer.byteLength(text) <= 1_024)
  .default('');

const hostNames = z.array(z.string().refine(isAddress)).default([]);

const networks = z.array(z.string().refine(isAddressOrNetwork)).default([]);

const globs = z.array(z.string().startsWith('/').max(1_024)).default([]);

const cookieName = z
  .string()
  .regex(/^[\w.-]{1,64}$/)
  .default('happn_token');

const origins = z.array(z.string().refine(isOrigin)).default([]);

/** Every key of the gateway with its default. The path of a key in kebab case is its flag, in capitals its variable. */
export const schema = z.strictObject({
  name: optionalText('how this gateway introduces itself; kept from the first start when not set', 'a text'),
  host: address('127.0.0.1', 'address on which happn, MQTT and Haven listen'),
  allowOpen: flag(false, 'listen beyond loopback although nobody has to log in'),
  secure: flag(false, 'require users to log in'),
  durability: choice('sync', ['sync', 'os', 'none'], 'what an acknowledged change survives: a power cut, a crash of the process, neither'),
  readyFile: optionalText('file that is written when all listeners accept: process id and ports, as JSON', 'a file name'),
  data: z.strictObject({
    dir: z
      .string()
      .min(1)
      .default('./data')
      .meta(about('text', 'directory of the store', 'a directory name')),
    pathIndexBytes: whole(
      64 * MIB,
      0,
      4_096 * MIB,
      'memory for the paths of all records, by which patterns with a text behind a wildcard are found fast; 0: none',
    ),
    acceptDamage: flag(false, 'start although stored changes are missing; what is missing stays lost'),
  }),
  history: historyRules.meta(about('objects', 'records whose former states are kept, as docs/configuration.md has them', historyText)),
  historyMaxBytes: whole(256 * MIB, 64 * KIB, 1_048_576 * MIB, 'bytes of all history; above it its oldest changes go'),
  queue: z.strictObject({
    maxMessages: whole(1_000, 1, 1_000_000, 'messages that wait for one durable session'),
    maxBytes: whole(16 * MIB, KIB, 1_024 * MIB, 'bytes of such messages'),
    maxAgeMs: whole(7 * DAY_MS, 1_000, 3_650 * DAY_MS, 'such messages that waited longer are dropped'),
    overflow: choice('newest', ['newest', 'oldest'], 'which messages a full queue drops'),
  }),
  happn: z.strictObject({
    port: port(55_000, 'port for happn websockets and HTTP (and MQTT and Haven over websocket)'),
    maxFrameBytes: whole(10 * MIB, 64 * KIB, 256 * MIB, 'largest happn message'),
    pingIntervalMs: whole(30_000, 100, 45_000, 'time between heartbeats to happn clients of protocol 4'),
    silentMs: whole(125_000, 1_000, 3_600_000, 'an older happn client that says nothing for this long is disconnected'),
    firstRequestMs: whole(
      10_000,
      100,
      600_000,
      'time for a happn client to send its first valid request, or to log in where that is asked for',
    ),
    messageMs: whole(60_000, 1_000, 3_600_000, 'time between the first and the last byte of one happn message'),
    maxFresh: whole(1_000, 1, 100_000, 'happn connections from other machines that may be open without a valid request'),
    ackTimeoutMs: whole(60_000, 100, 3_600_000, 'time for the receivers of a happn publication of consistency 3 to acknowledge it'),
  }),
  mqtt: z.strictObject({
    port: port(1883, 'port for MQTT over TCP'),
    mountPoint: mountPoint.meta(about('text', 'text put before every MQTT topic', 'at most 1024 bytes of text without + and #')),
    maxConnectBytes: whole(64 * KIB, KIB, MIB, 'largest MQTT packet before the login is accepted'),
    maxPacketBytes: whole(MIB, KIB, 256 * MIB - 1, 'largest MQTT packet after it'),
    connectTimeoutMs: whole(10_000, 100, 600_000, 'time for an MQTT client to log in'),
    maxConnecting: whole(1_000, 1, 100_000, 'MQTT connections that may be open without an accepted login; further ones wait'),
    maxConnections: whole(100_000, 1, 1_000_000, 'MQTT connections that may be open; further ones are closed'),
    maxConnectionsPerAddress: whole(10_000, 1, 1_000_000, 'of these from one address, loopback and proxies excepted'),
    maxConnectingPerAddress: whole(500, 1, 100_000, 'of these without an accepted login'),
    idleLimitMs: whole(3_600_000, 1_000, 86_400_000, 'longest silence of an MQTT client without keep alive'),
    outgoingWindow: whole(100, 1, 65_535, 'messages of QoS 1 and 2 that an MQTT client may have unacknowledged'),
    maxIncomingOnce: whole(1_000, 1, 65_535, 'messages of QoS 2 that an MQTT client may have unreleased; of QoS 1 and 2 in MQTT 5'),
    maxClientIdBytes: whole(1_024, 23, 65_535, 'longest MQTT client id'),
    maxConnectsPerSecond: whole(0, 0, 1_000_000, 'MQTT connections a second from one address; 0: any number'),
    maxPublishesPerSecond: whole(0, 0, 10_000_000, 'messages a second that one MQTT client may publish; 0: any number'),
    maxPublishBytesPerSecond: whole(0, 0, 1_000_000 * MIB, 'bytes of these; 0: any number'),
    maxSubscriptions: whole(1_000, 1, 1_000_000, 'filters of one MQTT session'),
    maxTopicAliases: whole(10, 0, 65_535, 'topics that an MQTT 5 client may give a number, and is given one for'),
    maxKeepAliveSeconds: whole(60, 1, 65_535, 'longest keep alive of an MQTT 5 client'),
    responseInformation: z
      .string()
      .default('')
      .meta(about('text', 'what MQTT 5 clients are told that ask for response information', 'a text')),
    sysIntervalMs: whole(10_000, 0, 3_600_000, 'time between publications of the $SYS topics; 0: there are none'),
    proxyProtocol: choice('off', ['off', 'required'], 'whether every MQTT connection over TCP begins with a PROXY header'),
    proxyAddresses: networks.meta(
      about('list', 'proxies in front of MQTT: who may send such a header', 'a list of IP addresses and networks such as 10.0.0.0/8'),
    ),
    tls: z.strictObject({
      port: optionalPort('port for MQTT over TLS; its certificate is that of tls.certFile, or one is made'),
      clientCertificates: choice('off', ['off', 'optional', 'required'], 'whether clients on this port show a certificate'),
      clientCaFile: optionalText('file of the certificates that vouch for those of clients, in PEM form', 'a file name'),
      userFrom: choice('none', ['none', 'commonName'], 'what of its certificate names the user that a client is'),
    }),
    sessionExpiryMs: whole(
      7 * DAY_MS,
      1_000,
      3_650 * DAY_MS,
      'how long an MQTT session is kept that nobody resumes; MQTT 5 clients may ask for less',
    ),
  }),
  haven: z.strictObject({
    port: port(7854, 'port for Haven over TCP'),
    firstFrameBytes: whole(64 * KIB, 128, MIB, 'largest Haven message before CONNECT'),
    maxFrameBytes: whole(MIB, KIB, 15 * MIB, 'largest Haven message after it'),
    firstElements: whole(1_000, 16, 65_536, 'items and entries in one Haven message before CONNECT'),
    maxElements: whole(65_536, 16, 1_048_576, 'items and entries in one Haven message after it'),
    firstDepth: whole(8, 4, 32, 'nesting of a Haven message before CONNECT'),
    maxDepth: whole(32, 4, 64, 'nesting of a Haven message after it'),
    connectMs: whole(10_000, 100, 600_000, 'time for a Haven client to send its CONNECT, and to log in where it has to'),
    heartbeatMs: whole(60_000, 1_000, 3_600_000, 'a Haven client that says nothing for this long is disconnected'),
    heartbeatMinMs: whole(1_000, 100, 3_600_000, 'shortest such time that a Haven client may ask for'),
    heartbeatMaxMs: whole(300_000, 1_000, 86_400_000, 'longest such time that a Haven client may ask for'),
    watchMaxEvents: whole(10_000, 1, 1_000_000, 'events that wait for the heartbeat of a Haven client'),
    watchMaxBytes: whole(4 * MIB, KIB, 256 * MIB, 'bytes of such events'),
    maxWatches: whole(1_000, 1, 1_000_000, 'watches of one Haven client'),
    readMaxItems: whole(10_000, 1, 1_000_000, 'records that one Haven read with wildcards answers'),
    maxFresh: whole(1_000, 1, 100_000, 'Haven connections from other machines that may be open without a CONNECT'),
  }),
  admin: z.strictObject({
    host: address('127.0.0.1', 'address of the admin listener'),
    port: port(55_080, 'port of the admin listener: health, metrics and the API for administrators'),
    hosts: hostNames.meta(about('list', 'names under which the admin listener may be asked, beside its address', 'a list of host names')),
    password: optionalText('password of _ADMIN for the first secure start', 'a text', true),
    passwordFile: optionalText('file that holds the password of _ADMIN for the first secure start', 'a file name'),
  }),
  security: z.strictObject({
    anonymous: flag(false, 'who shows no credentials is the user _ANONYMOUS, and has its rights'),
    adminRemote: flag(true, '_ADMIN may log in from other machines'),
    chooseProvider: flag(true, 'happn clients may name an authentication provider (there is one, whatever they name)'),
    allowNestedPermissions: flag(false, 'who reads by a wider pattern than is permitted gets the permitted part, and is not refused'),
    tokens: z.strictObject({
      ttlMs: whole(7 * DAY_MS, 0, 3_650 * DAY_MS, 'how long a token is good, unless its profile says it; 0: for good'),
      rotateMs: whole(90 * DAY_MS, 0, 3_650 * DAY_MS, 'age at which the key that signs tokens is followed by a new one; 0: never'),
      secret: secretText('signs the tokens in place of a key in the data directory: the same for gateways that take each other’s tokens'),
      previousSecret: secretText('the secret before it, whose tokens are still good'),
    }),
    lockout: z.strictObject({
      attempts: whole(0, 0, 1_000, 'wrong passwords in a row that lock a user for everybody; 0: none do'),
      ms: whole(600_000, 1_000, DAY_MS, 'how long, from the last of them on'),
    }),
    http: z.strictObject({
      cookieName: cookieName.meta(
        about('text', 'cookie that holds the token; over TLS with _https behind it', '1 to 64 letters, digits, ., - and _'),
      ),
      queryToken: flag(false, 'take a token from the query happn_token of a URL, too, where logs and histories keep it'),
      logout: flag(false, 'revoke tokens by /auth/logout'),
      exclusions: globs.meta(
        about('list', 'paths of routes that need no token; * is any run of characters', 'a list of patterns such as /public/*'),
      ),
    }),
    profiles: profiles.meta(about('objects', 'what sessions may do beyond rights, as docs/security.md has it', profilesText)),
    providers: providers.meta(about('objects', 'who else says who a client is (JWT), as docs/security.md has it', providersText)),
    groups: groups.meta(about('objects', 'groups that are made at the start, as docs/security.md has it', groupsText)),
    users: users.meta(about('objects', 'users that are made at the start', usersText)),
  }),
  http: z.strictObject({
    origins: origins.meta(
      about(
        'list',
        'web pages that may open websockets, beside those from loopback; * for all',
        'a list of origins such as https://app.example',
      ),
    ),
    headerTimeoutMs: whole(10_000, 100, 600_000, 'time for a client to send the head of a request'),
    maxHeaderBytes: whole(16 * KIB, KIB, MIB, 'largest head of a request'),
    maxUrlBytes: whole(8 * KIB, 128, 64 * KIB, 'longest URL of a request'),
  }),
  tls: z.strictObject({
    enabled: flag(false, 'speak TLS (https, wss) on the port of happn and HTTP; with no certificate given, one is made'),
    certFile: optionalText('file of the certificate, the ones that it depends on behind it, in PEM form', 'a file name'),
    keyFile: optionalText('file of its private key in PEM form', 'a file name'),
    cert: pem('the certificate itself, in place of the file'),
    key: pem('the private key itself, in place of the file'),
    checkMs: whole(10_000, 100, 86_400_000, 'how often the files are looked at for a new certificate'),
  }),
  bridges: bridges.meta(about('objects', 'connections to other MQTT brokers, as docs/bridge.md has them', bridgesText)),
  log: z.strictObject({
    level: choice('info', ['debug', 'info', 'warn', 'error', 'silent'], 'least important kind of line that is logged'),
    format: choice('auto', ['auto', 'text', 'json'], 'form of the log on stderr; auto: text on a terminal, else JSON'),
  }),
});

type DeepReadonly<T> = T extends (infer I)[] ? readonly I[] : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** The effective configuration, frozen. */
export type Config = DeepReadonly<z.output<typeof schema>>;

type DeepPartial<T> = T extends readonly unknown[] | string | number | boolean | null ? T : { readonly [K in keyof T]?: DeepPartial<T[K]> };

type Security = Config['security'];
type SecurityLists = 'profiles' | 'providers' | 'groups' | 'users';

/** The same keys, all of them optional. */
export type ConfigInput = DeepPartial<Omit<Config, 'bridges' | 'history' | 'security'>> & {
  readonly bridges?: readonly BridgeInput[];
  readonly history?: readonly HistoryRuleInput[];
  readonly security?: DeepPartial<Omit<Security, SecurityLists>> & SecurityInput;
};

/** One key of the schema. */
export interface ConfigKey extends About {
  /** `happn.port` */
  readonly path: string;
  /** `--happn-port` */
  readonly flag: string;
  /** `TRIVIUM_HAPPN_PORT` */
  readonly variable: string;
  readonly type: z.ZodType;
  readonly fallback: unknown;
}

export const KEYS: readonly ConfigKey[] = Object.freeze(listKeys(schema, []));
const KEY_BY_PATH = new Map(KEYS.map((key) => [key.path, key]));
const KEY_BY_VARIABLE = new Map(KEYS.map((key) => [key.variable, key]));
const FILE_VARIABLE = 'TRIVIUM_CONFIG';

export interface ConfigSources {
  /** By key path, as text: what stood on the command line. */
  readonly flags?: ReadonlyMap<string, string>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The configuration file as it was read; its name is shown in errors. */
  readonly file?: { readonly name: string; readonly text: string } | null;
  /** Values of a program that embeds the gateway; they count as flags. */
  readonly given?: ConfigInput;
}

/** A configuration and where each value came from, by key path: `default`, `file x.yaml`, `environment X`, `flag --x`. */
export interface LoadedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, string>;
}

interface Found {
  readonly value: unknown;
  readonly origin: string;
}

/** Flags before environment before file before defaults. Throws ConfigError, one line that names key, value and origin. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const found = new Map<string, Found>();
  if (sources.file) readFile(sources.file.name, sources.file.text, found);
  readEnvironment(sources.env ?? {}, found);
  if (sources.given) readTree(treeOf(sources.given), [], 'given', found);
  for (const [path, text] of sources.flags ?? []) {
    const key = KEY_BY_PATH.get(path) as ConfigKey;
    found.set(path, { value: fromText(key, text), origin: `flag ${key.flag}` });
  }
  const values = new Map<string, unknown>();
  const origins = new Map<string, string>();
  for (const key of KEYS) {
    const one = found.get(key.path);
    values.set(key.path, one === undefined ? key.fallback : checked(key, one));
    origins.set(key.path, one === undefined ? 'default' : one.origin);
  }
  useSecureDefaults(values, origins);
  const config = frozenTree(values);
  checkRules(config, origins);
  return { config, origins };
}

/** Where everybody has to log in, other machines may connect. */
function useSecureDefaults(values: Map<string, unknown>, origins: Map<string, string>): void {
  if (values.get('secure') !== true || origins.get('host') !== 'default') return;
  values.set('host', '0.0.0.0');
  origins.set('host', 'default with secure');
}

/** The file that the sources name, before it is read: the flag wins over the variable. */
export function configFileName(
  flagValue: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { readonly name: string; readonly origin: string } | null {
  if (flagValue !== undefined) return { name: flagValue, origin: 'flag --config' };
  const name = env[FILE_VARIABLE];
  return name === undefined || name === '' ? null : { name, origin: `environment ${FILE_VARIABLE}` };
}

/** A value as a person reads it; secrets are never shown. */
export function shownValue(key: ConfigKey, value: unknown): string {
  if (value === null) return 'not set';
  if (key.secret) return 'set';
  if (key.kind === 'objects') return (value as unknown[]).length === 0 ? 'none' : JSON.stringify(withoutSecrets(value as object[]));
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(',');
  return typeof value === 'string' ? value || '""' : String(value);
}

/** A value as a program reads it; secrets are never shown. */
export function printedValue(key: ConfigKey, value: unknown): unknown {
  if (key.kind === 'objects') return withoutSecrets(value as object[]);
  return key.secret && value !== null ? 'set' : value;
}

export function configValue(config: Config, path: string): unknown {
  let at: unknown = config;
  for (const name of path.split('.')) at = (at as Record<string, unknown>)[name];
  return at;
}

function listKeys(object: z.ZodObject, above: string[]): ConfigKey[] {
  const keys: ConfigKey[] = [];
  for (const [name, type] of Object.entries(object.shape)) {
    const names = [...above, name];
    if (type instanceof z.ZodObject) {
      keys.push(...listKeys(type, names));
      continue;
    }
    const words = names.map((part) => part.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join('-');
    keys.push({
      ...((type as z.ZodType).meta() as { about: About }).about,
      path: names.join('.'),
      flag: `--${words}`,
      variable: `TRIVIUM_${words.replaceAll('-', '_').toUpperCase()}`,
      type: type as z.ZodType,
      fallback: (type as z.ZodType).parse(undefined),
    });
  }
  return keys;
}

function readEnvironment(env: Readonly<Record<string, string | undefined>>, found: Map<string, Found>): void {
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('TRIVIUM_') || text === undefined || name === FILE_VARIABLE || isForOthers(name)) continue;
    const key = KEY_BY_VARIABLE.get(name);
    if (key === undefined) throw unknownKey(name, 'environment', [...KEY_BY_VARIABLE.keys(), FILE_VARIABLE]);
    // An empty variable is how many supervisors say "not set".
    if (text !== '') found.set(key.path, { value: fromText(key, text), origin: `environment ${name}` });
  }
}

/** Kubernetes gives every container such variables for a service named trivium; and the commands that ask a gateway have some. */
function isForOthers(name: string): boolean {
  return /^TRIVIUM_(SERVICE_(HOST|PORT)|PORT$|PORT_\d|HAVEN_(USER|PASSWORD|TOKEN)$|TOKEN$|ADMIN_URL$)/.test(name);
}

/** A key may stand nested or with its whole path: `mqtt: {port: 1}` or `mqtt.port: 1`. */
function readFile(name: string, text: string, found: Map<string, Found>): void {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const line = lines.linePos(problem.pos[0]).line;
    throw new ConfigError(`the configuration file ${name} is neither YAML nor JSON: ${problem.message} (line ${line})`);
  }
  let tree: unknown;
  try {
    tree = document.toJS({ mapAsMap: true, maxAliasCount: 100 });
  } catch (error) {
    throw new ConfigError(`the configuration file ${name} cannot be used: ${(error as Error).message}`, { cause: error });
  }
  if (tree === null || tree === undefined) return;
  if (!(tree instanceof Map)) throw new ConfigError(`the configuration file ${name} must hold keys and values`);
  readTree(tree, [], `file ${name}`, found);
}

function readTree(tree: ReadonlyMap<unknown, unknown>, above: readonly string[], origin: string, found: Map<string, Found>): void {
  for (const [name, value] of tree) {
    const names = [...above, String(name)];
    const path = names.join('.');
    if (KEY_BY_PATH.has(path)) {
      if (value !== undefined) found.set(path, { value, origin });
    } else if (!(value === null || value instanceof Map) || !KEYS.some((key) => key.path.startsWith(`${path}.`))) {
      throw unknownKey(path, origin, [...KEY_BY_PATH.keys()]);
    } else if (value !== null) {
      readTree(value, names, origin, found);
    }
  }
}

function treeOf(value: object): Map<string, unknown> {
  const isTree = (item: unknown): item is object => typeof item === 'object' && item !== null && !Array.isArray(item);
  return new Map(Object.entries(value).map(([name, item]) => [name, isTree(item) ? treeOf(item) : item]));
}

function fromText(key: ConfigKey, text: string): unknown {
  if (key.kind === 'number') return /^-?\d+$/.test(text) ? Number(text) : text;
  if (key.kind === 'boolean') return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  if (key.kind === 'list') return text === '' ? [] : text.split(',').map((item) => item.trim());
  return key.kind === 'objects' ? fromJson(text) : text;
}

function checked(key: ConfigKey, one: Found): unknown {
  const result = key.type.safeParse(key.kind === 'objects' ? plainObjects(one.value) : one.value);
  if (result.success) return result.data;
  if (key.kind === 'objects') throw new ConfigError(refusalWithin(key.path, one.value, one.origin, result.error.issues[0] as Issue));
  const shown = key.secret ? 'the given value' : (JSON.stringify(one.value instanceof Map ? {} : one.value) ?? String(one.value));
  throw new ConfigError(`${key.path}: ${shown} is not allowed, it must be ${key.allowed} (${one.origin})`);
}

function unknownKey(name: string, origin: string, known: readonly string[]): ConfigError {
  const flat = (text: string): string => text.toLowerCase().replace(/[^a-z]/g, '');
  const near = known.find((other) => flat(other) === flat(name)) ?? known.find((other) => isOneEditAway(flat(other), flat(name)));
  return new ConfigError(`unknown key ${name} (${origin})${near === undefined ? '' : `; did you mean ${near}?`}`);
}

/** One letter more, less or different, or two neighbours swapped. */
function isOneEditAway(a: string, b: string): boolean {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  if (left.length <= 1 && right.length <= 1) return true;
  return left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0];
}

function frozenTree(values: ReadonlyMap<string, unknown>): Config {
  const root: Record<string, unknown> = {};
  for (const [path, value] of values) {
    const names = path.split('.');
    const last = names.pop() as string;
    let at = root;
    for (const name of names) {
      at[name] ??= {};
      at = at[name] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return deepFrozen(root) as Config;
}

function deepFrozen(tree: Record<string, unknown>): object {
  for (const part of Object.values(tree)) if (typeof part === 'object' && part !== null) deepFrozen(part as Record<string, unknown>);
  return Object.freeze(tree);
}

function isAddress(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(text);
}

function isAddressOrNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

/** `*`, `null` (pages from files) or scheme, host and port with nothing behind. */
function isOrigin(text: string): boolean {
  if (text === '*' || text === 'null') return true;
  return URL.canParse(text) && new URL(text).origin === text;
}
