// Settings of security: logins, tokens, HTTP routes. The lists among them are in security-lists.ts.

import { z } from 'zod';
import { about, DAY_MS, flag, secretText, whole } from './kinds.js';
import { groups, groupsText, profiles, profilesText, providers, providersText, users, usersText } from './security-lists.js';

const globs = z.array(z.string().startsWith('/').max(1_024)).default([]);

const cookieName = z
  .string()
  .regex(/^[\w.-]{1,64}$/)
  .default('happn_token');

export const security = z.strictObject({
  anonymous: flag(false, 'clients without credentials are the user _ANONYMOUS'),
  adminRemote: flag(true, '_ADMIN may log in from other machines'),
  usernamesCaseInsensitive: flag(false, 'logging in as Ann finds the user ann, unless there is an Ann'),
  chooseProvider: flag(true, 'happn clients may name an authentication provider (the name makes no difference)'),
  allowNestedPermissions: flag(false, 'reading with a pattern wider than permitted returns the permitted part instead of an error'),
  tokens: z.strictObject({
    ttlMs: whole(7 * DAY_MS, 0, 3_650 * DAY_MS, 'how long a token is valid, unless its profile says otherwise; 0: for ever'),
    rotateMs: whole(90 * DAY_MS, 0, 3_650 * DAY_MS, 'age at which the key that signs tokens is replaced; 0: never'),
    secret: secretText('signs tokens instead of a key in the data directory; gateways with the same secret accept each other’s tokens'),
    previousSecret: secretText('the previous secret, whose tokens are still accepted'),
  }),
  lockout: z.strictObject({
    attempts: whole(0, 0, 1_000, 'wrong passwords in a row that lock a user for everybody; 0: never'),
    ms: whole(600_000, 1_000, DAY_MS, 'how long a user is locked, from the last wrong password'),
  }),
  http: z.strictObject({
    cookieName: cookieName.meta(
      about('text', 'cookie that holds the token; over TLS with _https appended', '1 to 64 letters, digits, ., - and _'),
    ),
    queryToken: flag(false, 'also accept tokens in the query parameter happn_token, which logs and browser histories keep'),
    logout: flag(false, 'let /auth/logout revoke tokens'),
    exclusions: globs.meta(
      about('list', 'paths of routes that need no token; * is any run of characters', 'a list of patterns such as /public/*'),
    ),
  }),
  profiles: profiles.meta(about('objects', 'limits of sessions beyond rights, see docs/security.md', profilesText)),
  providers: providers.meta(about('objects', 'other systems whose tokens (JWT) identify clients, see docs/security.md', providersText)),
  groups: groups.meta(about('objects', 'groups created at the start, see docs/security.md', groupsText)),
  users: users.meta(about('objects', 'users created at the start, see docs/security.md', usersText)),
});
