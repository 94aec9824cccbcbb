// Settings of bridges: the schema of one list entry, and which of its values go together.

import { z } from 'zod';
import { RequestError } from '../core/errors.js';
import { reservedArea, textFault } from '../core/paths/path.js';
import { parsePattern } from '../core/paths/pattern.js';
import { allowed, distinct, entryName, wholeEntry } from './entries.js';

const PROTOCOLS: readonly string[] = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];
const SECURE_PROTOCOLS: readonly string[] = ['mqtts:', 'wss:'];
const TLS_KEYS = ['caFile', 'certFile', 'keyFile'] as const;
const TEXT_MAX_BYTES = 65_535;
const PREFIX_MAX_BYTES = 1_024;
const SHARED = '$share/';

function text(maxBytes = TEXT_MAX_BYTES) {
  const what = 'a text without control characters';
  return z.string(allowed(what)).refine((value) => textFault(value, 'it', maxBytes) === null, what);
}

function optionalText(maxBytes?: number) {
  return text(maxBytes).nullable().default(null);
}

function flag(value: boolean) {
  return z.boolean(allowed('true or false')).default(value);
}

const prefixText = 'a text without + and #';
const prefix = z
  .string(allowed(prefixText))
  .refine((value) => value === '' || (!/[+#]/.test(value) && textFault(value, 'it', PREFIX_MAX_BYTES) === null), prefixText)
  .default('');

const rule = z
  .strictObject(
    {
      direction: z.enum(['in', 'out', 'both'], allowed('one of in, out, both')),
      filter: z.string(allowed('an MQTT topic filter')),
      localPrefix: prefix,
      remotePrefix: prefix,
      qos: z.union([z.literal(0), z.literal(1), z.literal(2)], allowed('0, 1 or 2')).default(1),
    },
    allowed('a rule: direction, filter, optionally localPrefix, remotePrefix, qos'),
  )
  .superRefine((value, context) => {
    const refuse = (name: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [name], message, input: value.filter });
    const local = value.localPrefix + value.filter;
    const remote = value.remotePrefix + value.filter;
    const fault = filterFault(local) ?? filterFault(remote);
    if (fault !== null) refuse('filter', fault);
    else if (isGatewaysOwn(local)) refuse('filter', 'outside of the gateway’s own areas ($SYS, /_SYSTEM, /_HAVEN)');
    else if (value.direction !== 'in' && remote.startsWith('$')) refuse('filter', 'outside of $ at the remote, unless direction is in');
  });

/** Both ends of a rule are filters; null: this one is. */
function filterFault(filter: string): string | null {
  if (filter === '') return 'an MQTT topic filter, or empty with both prefixes set';
  if (filter.startsWith(SHARED)) return 'a filter without $share';
  try {
    parsePattern(filter, 'mqtt');
    return null;
  } catch (error) {
    if (error instanceof RequestError) return `an MQTT topic filter with both prefixes (${error.message})`;
    throw error;
  }
}

function isGatewaysOwn(filter: string): boolean {
  const area = reservedArea(filter);
  return area !== null && (area === '$SYS' || !area.startsWith('$'));
}

const urlText = 'mqtt://, mqtts://, ws:// or wss:// with a host, without user and password (they have their own keys)';

const bridge = z
  .strictObject(
    {
      name: entryName(),
      url: z.string(allowed(urlText)).refine(isRemoteUrl, urlText),
      version: z
        .union([z.literal('5'), z.literal('3.1.1'), z.literal(5)], allowed('5 or 3.1.1'))
        .default('5')
        .transform((value): '5' | '3.1.1' => (value === 5 ? '5' : value)),
      clientId: optionalText(),
      username: optionalText(),
      password: optionalText(),
      passwordFile: optionalText(),
      passwordEnv: optionalText(),
      caFile: optionalText(),
      certFile: optionalText(),
      keyFile: optionalText(),
      rejectUnauthorized: flag(true),
      keepAliveSeconds: wholeEntry(60, 0, 65_535),
      cleanSession: flag(false),
      bridgeMode: flag(true),
      retryMinMs: wholeEntry(1_000, 100, 3_600_000),
      retryMaxMs: wholeEntry(60_000, 100, 3_600_000),
      outgoingWindow: wholeEntry(20, 1, 65_535),
      maxHops: wholeEntry(8, 1, 64),
      rules: z.array(rule, allowed('a list of rules')).min(1, 'a list of at least one rule').max(1_000, 'a list of at most 1000 rules'),
    },
    allowed('a bridge: name, url, rules, and optional keys'),
  )
  .superRefine((value, context) => {
    const refuse = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message });
    const secrets = (['password', 'passwordFile', 'passwordEnv'] as const).filter((name) => value[name] !== null);
    if (secrets.length > 1) refuse(secrets[1] as string, `left out, because ${secrets[0]} is given`);
    // [MQTT-3.1.2-22]
    if (secrets.length > 0 && value.username === null) refuse('username', 'given, because a password is');
    const tls = TLS_KEYS.find((name) => value[name] !== null);
    if (tls !== undefined && !SECURE_PROTOCOLS.includes(new URL(value.url).protocol))
      refuse(tls, 'left out unless url is mqtts:// or wss://');
    if (value.certFile !== null && value.keyFile === null) refuse('keyFile', 'given, because certFile is');
    if (value.keyFile !== null && value.certFile === null) refuse('certFile', 'given, because keyFile is');
    if (value.retryMinMs > value.retryMaxMs) refuse('retryMinMs', `at most retryMaxMs, which is ${value.retryMaxMs}`);
  });

function isRemoteUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, username, password, hash, pathname } = new URL(url);
  if (!PROTOCOLS.includes(protocol) || hostname === '' || username !== '' || password !== '' || hash !== '') return false;
  return protocol.startsWith('ws') || pathname === '' || pathname === '/';
}

export const bridgesText = 'a list of bridges (in a flag or a variable as JSON)';

export const bridges = z
  .array(bridge, allowed(bridgesText))
  .max(100, 'a list of at most 100 bridges')
  .superRefine(distinct('name', 'a name that no other bridge has'))
  .default([]);

/** Keys of a bridge whose values are never shown. */
export const BRIDGE_SECRETS: readonly string[] = ['password'];

/** One bridge, with all its defaults left out. */
export type BridgeInput = z.input<typeof bridge>;
