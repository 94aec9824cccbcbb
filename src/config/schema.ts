// The schema: every key of the gateway with its default. What else a key has (flag, variable, check, row in the table of docs) follows
// from here; see keys.ts. What the core takes by itself it says itself.

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
      PATH_INDEX_BYTES,
      0,
      4_096 * MIB,
      'memory for the paths of all records, by which patterns with a text behind a wildcard are found fast; 0: none',
    ),
    acceptDamage: flag(false, 'start although stored changes are missing; what is missing stays lost'),
  }),
  history: historyRules.meta(about('objects', 'records whose former states are kept, as docs/configuration.md has them', historyText)),
  historyMaxBytes: whole(256 * MIB, 64 * KIB, 1_048_576 * MIB, 'bytes of all history; above it its oldest changes go'),
  queue: z.strictObject({
    maxMessages: whole(QUEUE_LIMITS.maxMessages, 1, 1_000_000, 'messages that wait for one durable session'),
    maxBytes: whole(QUEUE_LIMITS.maxBytes, KIB, 1_024 * MIB, 'bytes of such messages'),
    maxAgeMs: whole(QUEUE_LIMITS.maxAgeMs, 1_000, 3_650 * DAY_MS, 'such messages that waited longer are dropped'),
    overflow: choice(QUEUE_LIMITS.overflow, ['newest', 'oldest'], 'which messages a full queue drops'),
  }),
  happn,
  mqtt,
  haven,
  admin: z.strictObject({
    host: address('127.0.0.1', 'address of the admin listener'),
    port: port(55_080, 'port of the admin listener: health, metrics and the API for administrators'),
    hosts: hostNames.meta(about('list', 'names under which the admin listener may be asked, beside its address', 'a list of host names')),
    password: newPassword('password of _ADMIN for the first secure start'),
    passwordFile: optionalText('file that holds the password of _ADMIN for the first secure start', 'a file name'),
  }),
  security,
  audit: z.strictObject({
    maxEntries: whole(AUDIT_LIMITS.maxEntries, 100, 100_000, 'entries of the audit about what was done; the oldest give way'),
    maxRefusals: whole(AUDIT_LIMITS.maxRefusals, 100, 100_000, 'entries of the audit about what was refused'),
    maxDelegations: whole(AUDIT_LIMITS.maxDelegations, 100, 100_000, 'entries of the audit about what was done in somebody else’s name'),
    maxAgeMs: whole(AUDIT_LIMITS.maxAgeMs, 0, 3_650 * DAY_MS, 'age at which entries of the audit are dropped; 0: none'),
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
