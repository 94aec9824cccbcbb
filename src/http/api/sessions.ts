// Sessions of all protocols, logins and tokens, as administrators see and end them.

import { type Identity, RequestError, type Session } from '../../core/index.js';
import type { IssuedToken } from './administration.js';
import { done, isoTime, made, NOTHING, type Operation, operation } from './operation.js';
import { pageOf } from './paging.js';
import * as schema from './schemas.js';

export const SESSIONS: readonly Operation[] = [
  operation({
    method: 'get',
    path: '/sessions',
    id: 'listSessions',
    tag: 'sessions',
    summary: 'Open sessions of all protocols, in the order of their ids.',
    query: schema.sessionPage,
    body: null,
    answers: { 200: { description: 'A page of sessions.', schema: schema.sessions } },
    run: ({ house, query: { limit, after, user, protocol } }) => {
      const { items, next } = pageOf(chosen(house.sessions(), user, protocol), ({ id }) => id, after, limit);
      return done({ sessions: items.map(shownSession), next });
    },
  }),
  operation({
    method: 'delete',
    path: '/sessions/{id}',
    id: 'endSession',
    tag: 'sessions',
    summary: 'Ends a session. Its client may log in again.',
    query: null,
    body: null,
    answers: { 204: { description: 'It has ended.', schema: null } },
    run: async ({ house, params, caller: { identity, address } }) => {
      const id = params['id'] as string;
      if (!house.endSession(id)) throw new RequestError('NOT_FOUND', `there is no session ${id}`);
      const event = { actor: identity.name, target: id, refusal: null, protocol: 'admin', address, details: {} };
      await house.enter({ action: 'session.end', ...event });
      return NOTHING;
    },
  }),
];

export const TOKENS: readonly Operation[] = [
  operation({
    method: 'post',
    path: '/login',
    id: 'login',
    tag: 'tokens',
    summary: 'Gives a token for a name and a password.',
    access: 'anybody',
    query: null,
    body: schema.login,
    answers: { 200: { description: 'The token, for the header Authorization: Bearer.', schema: schema.token } },
    run: async ({ house, body: { username, password }, caller: { address } }) => {
      const identity = await house.login(username, password, address);
      return done(shownToken(identity.name, await house.tokenOf(identity)));
    },
  }),
  operation({
    method: 'post',
    path: '/tokens',
    id: 'issueToken',
    tag: 'tokens',
    summary: 'Makes a token with which somebody logs in as the user.',
    query: null,
    body: schema.issueToken,
    answers: { 201: { description: 'The token. It is shown this once.', schema: schema.token } },
    run: async ({ house, body: { user, type, ttlMs }, caller: { identity, address } }) => {
      const issued = await house.issueToken(user, type, ttlMs ?? null);
      const event = { actor: identity.name, target: user, refusal: null, protocol: 'admin', address };
      await house.enter({ action: 'token.issue', ...event, details: { id: issued.id, type, expires: issued.expires } });
      return made(shownToken(user, issued));
    },
  }),
  operation({
    method: 'delete',
    path: '/tokens/{id}',
    id: 'revokeToken',
    tag: 'tokens',
    summary: 'Revokes a token: sessions that use it end. Whether there is such a token is not known.',
    query: null,
    body: null,
    answers: { 204: { description: 'It is no longer good.', schema: null } },
    run: async ({ house, params, caller }) => {
      await house.change({ type: 'revoke', tokenId: params['id'] as string, until: Number.POSITIVE_INFINITY }, caller);
      return NOTHING;
    },
  }),
  operation({
    method: 'delete',
    path: '/users/{name}/tokens',
    id: 'revokeTokens',
    tag: 'tokens',
    summary: 'Revokes all tokens of a user that were issued until now: sessions that use one end.',
    query: null,
    body: null,
    answers: { 204: { description: 'They are no longer good.', schema: null } },
    run: async ({ house, params, caller }) => {
      await house.change({ type: 'revokeAll', name: params['name'] as string }, caller);
      return NOTHING;
    },
  }),
];

function* chosen(all: Iterable<Session>, user: string | undefined, protocol: string | undefined): Iterable<Session> {
  for (const session of all) {
    if (user !== undefined && session.identity.name !== user) continue;
    if (protocol === undefined || session.adapter === protocol) yield session;
  }
}

function shownSession({ id, identity, adapter, address, opened, subscriptions, executed, outbound, durable }: Session): object {
  return {
    id,
    user: userOf(identity),
    protocol: adapter,
    address: address === '' ? null : address,
    connectedSince: isoTime(opened),
    subscriptions: subscriptions.size,
    requests: executed,
    queued: outbound.length + (durable?.queue.size ?? 0),
    queuedBytes: outbound.bytes + (durable?.queueBytes ?? 0),
  };
}

function userOf({ name }: Identity): string | null {
  return name === '' ? null : name;
}

function shownToken(user: string, { id, token, expires }: IssuedToken): object {
  return { id, token, user, expires: expires === null ? null : isoTime(expires) };
}
