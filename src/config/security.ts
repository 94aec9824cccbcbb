// Settings of security: logins, tokens, web pages that ask for routes. What its lists hold stands in security-lists.ts.

import { z } from 'zod';
import { about, DAY_MS, flag, secretText, whole } from './kinds.js';
import { groups, groupsText, profiles, profilesText, providers, providersText, users, usersText } from './security-lists.js';

const globs = z.array(z.string().startsWith('/').max(1_024)).default([]);

const cookieName = z
  .string()
  .regex(/^[\w.-]{1,64}$/)
  .default('happn_token');

export const security = z.strictObject({
  anonymous: flag(false, 'who shows no credentials is the user _ANONYMOUS, and has its rights'),
  adminRemote: flag(true, '_ADMIN may log in from other machines'),
  usernamesCaseInsensitive: flag(false, 'who logs in as Ann is the user ann, unless there is an Ann'),
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
});
