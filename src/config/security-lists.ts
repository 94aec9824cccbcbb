// Settings of security that are lists: users, groups, profiles, providers. Declared users and groups are applied by
// security/baseline.ts.

import { z } from 'zod';
import { RequestError } from '../core/errors.js';
import { parseQuery } from '../core/query/query.js';
import { ACTIONS, ADMIN, SECURITY_LIMITS } from '../core/security/model.js';
import { isLoopback } from '../core/sockets/addresses.js';
import { durationMs } from '../security/durations.js';
import { isPassword, isPasswordHash, PASSWORD_TEXT } from '../security/passwords.js';
import { criteriaOf } from '../security/rules.js';
import { isAddressOrNetwork } from './addresses.js';
import { allowed, distinct, entryName } from './entries.js';

const text = (what = 'a text') => z.string(allowed(what)).min(1, what);
const maybe = <T extends z.ZodType>(type: T) => type.nullable().default(null);
const distinctNames = distinct('name', 'a name that no other has');

const actionText = `a list of * and ${ACTIONS.join(', ')}`;
const actions = z.array(z.enum(['*', ...ACTIONS], allowed(actionText)), allowed(actionText));
const permissionText = 'actions, prohibit, or both';
const permissions = z
  .record(z.string(), z.strictObject({ actions: actions.optional(), prohibit: actions.optional() }, allowed(permissionText)), {
    error: () => 'a map from patterns of paths to what is allowed there',
  })
  .transform((map) => map as Readonly<Record<string, { actions?: (typeof actions)['_output']; prohibit?: (typeof actions)['_output'] }>>);
const customDataText = 'a map';
const customData = z.record(z.string(), z.unknown(), { error: () => customDataText });

const userName = 'the name of a user: at most 256 bytes without /';
const groupName = 'the name of a group: at most 256 bytes without /';
const nameOf = (what: string) =>
  z
    .string(allowed(what))
    .refine((name) => name !== '' && !name.includes('/') && Buffer.byteLength(name) <= SECURITY_LIMITS.nameBytes, what);

const hashText = 'a hash of a password: scrypt$… or pbkdf2$… of happn';

const user = z
  .strictObject(
    {
      name: nameOf(userName).refine((name) => name !== ADMIN, 'a name other than _ADMIN, whose first password is admin.password'),
      password: maybe(z.string(allowed(PASSWORD_TEXT)).refine(isPassword, PASSWORD_TEXT)),
      passwordHash: maybe(z.string(allowed(hashText)).refine(isPasswordHash, hashText)),
      publicKey: maybe(text('a public key')),
      groups: z.array(nameOf(groupName), allowed('a list of names of groups')).default([]),
      permissions: permissions.default({}),
      customData: customData.default({}),
    },
    allowed('a user: name, optionally password, groups, permissions and more'),
  )
  .superRefine(({ password, passwordHash }, context) => {
    if (password !== null && passwordHash !== null) {
      context.addIssue({ code: 'custom', path: ['passwordHash'], message: 'left out, because password is given' });
    }
  });

const group = z.strictObject(
  { name: nameOf(groupName), permissions: permissions.default({}), customData: customData.default({}) },
  allowed('a group: name, optionally permissions and customData'),
);

const durationText = 'milliseconds, or a text such as 7 days';
const duration = maybe(
  z
    .union([z.number(), z.string(), z.literal(Number.POSITIVE_INFINITY)], allowed(durationText))
    .refine((value) => durationMs(value) !== null, durationText),
);
const addressText = 'a list of IP addresses and networks such as 10.0.0.0/8';

const profile = z.strictObject(
  {
    name: entryName(),
    session: z
      .record(z.string(), z.unknown(), { error: () => 'a map: criteria on user, info, type, ip_address and protocol' })
      .superRefine((rule, context) => {
        const fault = ruleFault(rule);
        if (fault !== null) context.addIssue({ code: 'custom', message: `criteria on a login (${fault})` });
      }),
    policy: z.strictObject(
      {
        ttl: duration,
        inactivity_threshold: duration,
        usage_limit: maybe(z.number(allowed('a whole number')).int('a whole number').min(1, 'at least 1')),
        permissions: maybe(permissions),
        disallowTokenLogins: z.boolean(allowed('true or false')).default(false),
        lockTokenToOrigin: z.boolean(allowed('true or false')).default(false),
        sourceIPWhitelist: maybe(z.array(z.string().refine(isAddressOrNetwork, addressText), allowed(addressText))),
      },
      allowed('a policy: ttl, inactivity_threshold, usage_limit, permissions and more'),
    ),
  },
  allowed('a profile: name, session, policy'),
);

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;
const algorithmText = `a list of ${algorithms.join(', ')}`;
const jwksText = 'https://, or http:// on this machine';

const provider = z
  .strictObject(
    {
      name: entryName(),
      issuer: text(),
      audience: text(),
      jwksUrl: maybe(z.string(allowed(jwksText)).refine(isKeysUrl, jwksText)),
      jwksFile: maybe(text('a file name')),
      algorithms: z
        .array(z.enum(algorithms, allowed(algorithmText)), allowed(algorithmText))
        .min(1, algorithmText)
        .default(['RS256', 'ES256']),
      userClaim: text('the name of a claim').default('sub'),
    },
    allowed('a provider: name, issuer, audience, and jwksUrl or jwksFile'),
  )
  .superRefine(({ jwksUrl, jwksFile }, context) => {
    if (jwksUrl === null && jwksFile === null)
      context.addIssue({ code: 'custom', path: ['jwksUrl'], message: 'given, unless jwksFile is' });
    if (jwksUrl !== null && jwksFile !== null)
      context.addIssue({ code: 'custom', path: ['jwksFile'], message: 'left out, because jwksUrl is given' });
  });

export const usersText = 'a list of users (in a flag or a variable as JSON)';
export const groupsText = 'a list of groups (in a flag or a variable as JSON)';
export const profilesText = 'a list of profiles (in a flag or a variable as JSON)';
export const providersText = 'a list of providers (in a flag or a variable as JSON)';

export const users = z.array(user, allowed(usersText)).max(10_000, 'a list of at most 10000 users').superRefine(distinctNames).default([]);
export const groups = z
  .array(group, allowed(groupsText))
  .max(10_000, 'a list of at most 10000 groups')
  .superRefine(distinctNames)
  .default([]);
export const profiles = z
  .array(profile, allowed(profilesText))
  .max(100, 'a list of at most 100 profiles')
  .superRefine(distinctNames)
  .default([]);
export const providers = z
  .array(provider, allowed(providersText))
  .max(20, 'a list of at most 20 providers')
  .superRefine(distinctNames)
  .default([]);

/** Keys of a user whose values are never shown, beside those of bridges. */
export const USER_SECRETS: readonly string[] = ['passwordHash'];

/** null: it is a rule. */
function ruleFault(rule: Readonly<Record<string, unknown>>): string | null {
  try {
    parseQuery({ criteria: criteriaOf(rule) });
    return null;
  } catch (error) {
    if (error instanceof RequestError) return error.message;
    throw error;
  }
}

/** Keys that travel in the clear could be changed on the way. */
function isKeysUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
}

/** The lists of a program that embeds the gateway, with all their defaults left out. */
export interface SecurityInput {
  readonly profiles?: readonly z.input<typeof profile>[];
  readonly providers?: readonly z.input<typeof provider>[];
  readonly groups?: readonly z.input<typeof group>[];
  readonly users?: readonly z.input<typeof user>[];
}
