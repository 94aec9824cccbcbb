// The schema: every key of the gateway with its default. Everything else about a key (flag, variable, check, row in the table of docs)
// follows from it; see keys.ts. Defaults that belong to the core are defined there.

import { z } from 'zod';
import { QUEUE_LIMITS } from '../core/durable/durable-session.js';
import { PATH_INDEX_BYTES } from '../core/paths/path-index.js';
import { AUDIT_LIMITS } from '../core/security/audit.js';
import { isAddress, isOrigin } from './addresses.js';
import { type BridgeInput, bridges, bridgesText } from './bridges.js';
import { happn } from './happn.js';
import { haven } from './haven.js';
import { type HistoryRuleInput, historyRules, historyText } from './history.js';
import { about, address, choice, DAY_MS, flag, KIB, MIB, newPassword, optionalText, pem, port, whole } from './kinds.js';
import { mqtt } from './mqtt.js';
import { security } from './security.js';
import type { SecurityInput } from './security-lists.js';

const hostNames = z.array(z.string().refine(isAddress)).default([]);

const origins = z.array(z.string().refine(isOrigin)).default([]);

/** The path of a key in kebab case is its flag, in capitals its variable. */
export const schema = z.strictObject({
  name: optionalText('name of this gateway; if not set, the last one, initially the host name', 'a text'),
  host: address('127.0.0.1', 'address on which happn, MQTT and Haven listen'),
  allowOpen: flag(false, 'allow listening beyond loopback without logins'),
  secure: flag(false, 'require users to log in'),
  durability: choice(
    'sync',
    ['sync', 'os', 'none'],
    'what an acknowledged change survives: sync: a power failure; os: a crash of the process; none: neither',
  ),
  readyFile: optionalText('file written once all listeners accept connections: process id and ports, as JSON', 'a file name'),
  data: z.strictObject({
    dir: z
      .string()
      .min(1)
      .default('./data')
      .meta(about('text', 'directory of the store', 'a directory name')),
    pathIndexBytes: whole(
      PATH_INDEX_BYTES,
      0,
      4_096 * MIB,
      'memory for an index of all paths, which speeds up patterns with text after a wildcard; 0: no index',
    ),
    acceptDamage: flag(false, 'start even if stored changes are missing, and do without them'),
  }),
  history: historyRules.meta(about('objects', 'records whose earlier states are kept, see docs/configuration.md', historyText)),
  historyMaxBytes: whole(256 * MIB, 64 * KIB, 1_048_576 * MIB, 'bytes of all history; above this the oldest changes are dropped'),
  queue: z.strictObject({
    maxMessages: whole(QUEUE_LIMITS.maxMessages, 1, 1_000_000, 'messages queued for one durable session'),
    maxBytes: whole(QUEUE_LIMITS.maxBytes, KIB, 1_024 * MIB, 'bytes of these messages'),
    maxAgeMs: whole(QUEUE_LIMITS.maxAgeMs, 1_000, 3_650 * DAY_MS, 'queued messages older than this are dropped'),
    overflow: choice(QUEUE_LIMITS.overflow, ['newest', 'oldest'], 'which messages a full queue drops'),
    maxSessions: whole(
      QUEUE_LIMITS.maxSessions,
      1,
      10_000_000,
      'durable sessions that are kept, half of them for one user; further ones are refused',
    ),
  }),
  happn,
  mqtt,
  haven,
  admin: z.strictObject({
    host: address('127.0.0.1', 'address of the admin listener'),
    port: port(55_080, 'port of the admin listener: health, metrics and the admin API'),
    hosts: hostNames.meta(about('list', 'host names accepted by the admin listener, besides its address', 'a list of host names')),
    password: newPassword('password of _ADMIN for the first secure start'),
    passwordFile: optionalText('file with the password of _ADMIN for the first secure start', 'a file name'),
  }),
  security,
  audit: z.strictObject({
    maxEntries: whole(AUDIT_LIMITS.maxEntries, 100, 100_000, 'audit entries of completed actions; the oldest are dropped'),
    maxRefusals: whole(AUDIT_LIMITS.maxRefusals, 100, 100_000, 'audit entries of refused actions'),
    maxDelegations: whole(AUDIT_LIMITS.maxDelegations, 100, 100_000, 'audit entries of actions on behalf of others'),
    maxAgeMs: whole(AUDIT_LIMITS.maxAgeMs, 0, 3_650 * DAY_MS, 'age at which audit entries are dropped; 0: never'),
  }),
  http: z.strictObject({
    origins: origins.meta(
      about(
        'list',
        'origins of web pages that may open websockets, besides loopback; * for all',
        'a list of origins such as https://app.example',
      ),
    ),
    headerTimeoutMs: whole(10_000, 100, 600_000, 'time for a client to send the head of a request'),
    answerTimeoutMs: whole(60_000, 100, 600_000, 'time in which a client takes something of an answer that waits for it'),
    maxHeaderBytes: whole(16 * KIB, KIB, MIB, 'largest head of a request'),
    maxUrlBytes: whole(8 * KIB, 128, 64 * KIB, 'longest URL of a request'),
  }),
  tls: z.strictObject({
    enabled: flag(false, 'use TLS (https, wss) on the happn and HTTP port; without a certificate, one is made'),
    certFile: optionalText('file with the certificate, followed by its chain, in PEM form', 'a file name'),
    keyFile: optionalText('file with its private key, in PEM form', 'a file name'),
    cert: pem('the certificate itself, instead of a file'),
    key: pem('the private key itself, instead of a file'),
    checkMs: whole(10_000, 100, 86_400_000, 'how often the files are checked for a new certificate'),
  }),
  bridges: bridges.meta(about('objects', 'connections to other MQTT brokers, see docs/bridge.md', bridgesText)),
  log: z.strictObject({
    level: choice('info', ['debug', 'info', 'warn', 'error', 'silent'], 'lowest level that is logged'),
    format: choice('auto', ['auto', 'text', 'json'], 'format of the log on stderr; auto: text on a terminal, else JSON'),
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
