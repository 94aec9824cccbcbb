// Profiles: which policy applies to which logins. The first profile whose rule matches a login decides; rules are criteria, as in
// searches, on what is known of the login. After the configured ones come happn's own (happn-protocol.md 10.5).

import { BlockList, isIP } from 'node:net';
import {
  Entry,
  type Format,
  NO_LIMITS,
  Payload,
  type Permissions,
  type Policy,
  parseQuery,
  type Query,
  type User,
  type Value,
} from '../core/index.js';
import { durationMs } from './durations.js';
import { criteriaOf } from './rules.js';
import type { TokenType } from './tokens.js';

/** As configured, in happn's words; see docs/security.md. */
export interface ProfileOptions {
  readonly name: string;
  /** Criteria on {user: {username, custom_data, groups}, info, type, ip_address, protocol}; maps may be nested. */
  readonly session: Readonly<Record<string, unknown>>;
  readonly policy: {
    /** Milliseconds, or a text as `7 days`; 0, null or Infinity: no end. */
    readonly ttl?: number | string | null | undefined;
    readonly inactivity_threshold?: number | string | null | undefined;
    readonly usage_limit?: number | null | undefined;
    readonly permissions?: Permissions | null | undefined;
    readonly disallowTokenLogins?: boolean | undefined;
    readonly lockTokenToOrigin?: boolean | undefined;
    readonly sourceIPWhitelist?: readonly string[] | null | undefined;
  };
}

/** What rules can ask for. */
export interface LoginFacts {
  readonly user: User;
  readonly info: Readonly<Record<string, unknown>>;
  readonly type: TokenType;
  readonly address: string;
  readonly protocol: string;
}

interface Profile {
  readonly policy: Policy;
  readonly rule: Query;
}

const BROWSER_TTL_MS = 7 * 24 * 3_600_000;
const BROWSER_INACTIVITY_MS = 3_600_000;
const STATEFUL: Policy = Object.freeze({ ...NO_LIMITS, name: 'default-stateful' });
const STATELESS: Policy = Object.freeze({ ...NO_LIMITS, name: 'default-stateless' });

export class Profiles {
  readonly #profiles: readonly Profile[];
  readonly #format: Format;
  readonly #browser: Policy;

  /**
   * `tokenTtlMs`: how long tokens are good whose policy does not say it; 0: for good. Throws RequestError INVALID_REQUEST for a rule
   * that is none, with a text that names what is wrong.
   */
  constructor(profiles: readonly ProfileOptions[], format: Format, tokenTtlMs = 0) {
    this.#format = format;
    this.#browser = Object.freeze({
      ...NO_LIMITS,
      name: 'default-browser',
      ttlMs: tokenTtlMs === 0 ? BROWSER_TTL_MS : Math.min(tokenTtlMs, BROWSER_TTL_MS),
      inactivityMs: BROWSER_INACTIVITY_MS,
      endsIdle: false,
    });
    this.#profiles = profiles.map(({ name, session, policy }) => ({
      policy: policyOf(name, policy),
      rule: parseQuery({ criteria: criteriaOf(session) }),
    }));
  }

  policyFor(facts: LoginFacts): Policy {
    if (this.#profiles.length === 0) return this.#default(facts);
    const entry = new Entry('', Payload.fromValue(documentOf(facts), this.#format), 0, 0, 0, '');
    return this.#profiles.find(({ rule }) => rule.matches(entry))?.policy ?? this.#default(facts);
  }

  #default({ info, type }: LoginFacts): Policy {
    if (info['_browser'] === true) return this.#browser;
    return type === 0 ? STATELESS : STATEFUL;
  }

  /** Of a token that was made under it; null: it is not configured any more. */
  named(name: string): Policy | null {
    return this.#profiles.find(({ policy }) => policy.name === name)?.policy ?? null;
  }

  /** The longest that a login is good for; 0: there is no end, or they do not say. */
  get longestMs(): number {
    return Math.max(0, ...this.#profiles.map(({ policy }) => policy.ttlMs));
  }
}

/** Whether the policy lets somebody log in from there. */
export function isFrom({ sourceAddresses }: Policy, address: string): boolean {
  if (sourceAddresses === null) return true;
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  const version = isIP(plain);
  if (version === 0) return false;
  const allowed = new BlockList();
  for (const one of sourceAddresses) {
    const [network = '', bits] = one.split('/');
    const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) allowed.addAddress(network, family);
    else allowed.addSubnet(network, Number(bits), family);
  }
  return allowed.check(plain, version === 6 ? 'ipv6' : 'ipv4');
}

function policyOf(name: string, policy: ProfileOptions['policy']): Policy {
  return Object.freeze({
    name,
    ttlMs: durationMs(policy.ttl) ?? 0,
    inactivityMs: durationMs(policy.inactivity_threshold) ?? 0,
    endsIdle: true,
    usageLimit: policy.usage_limit ?? 0,
    permissions: policy.permissions ?? null,
    disallowTokenLogins: policy.disallowTokenLogins ?? false,
    lockTokenToOrigin: policy.lockTokenToOrigin ?? false,
    sourceAddresses: policy.sourceIPWhitelist ?? null,
  });
}

function documentOf({ user, info, type, address, protocol }: LoginFacts): Value {
  const groups = Object.fromEntries(user.groups.map((group) => [group, {}]));
  const about = { username: user.name, custom_data: user.customData, groups };
  return { user: about, info, type, ip_address: address, protocol } as unknown as Value;
}
