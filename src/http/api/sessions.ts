// Sessions of all protocols, logins and tokens, as administrators see and end them.

import { type DurableSession, type Identity, keptId, type Session } from '../../core/index.js';
import type { Administration, Client, IssuedToken } from './administration.js';
import { done, isoTime, made, NOTHING, type Operation, operation } from './operation.js';
import { pageOf } from './paging.js';
import * as schema from './schemas.js';

export const SESSIONS: readonly Operation[] = [
  operation({
    method: 'get',
    path: '/sessions',
    id: 'listSessions',
    tag: 'sessions',
    summary: 'Lists sessions of all protocols, including those kept for clients that are away, in order of their ids.',
    query: schema.sessionPage,
    body: null,
    answers: { 200: { description: 'A page of sessions.', schema: schema.sessions } },
    run: ({ house, query: { limit, after, ...wanted } }) => {
      const { items, next } = pageOf(chosen(house, wanted), ({ id }) => id, after, limit);
      return done({ sessions: items.map(({ shown }) => shown()), next });
    },
  }),
  operation({
    method: 'delete',
    path: '/sessions/{id}',
    id: 'endSession',
    tag: 'sessions',
    summary: 'Ends a session; its client may log in again. One that is away is discarded with its queue and subscriptions.',
    query: null,
    body: null,
    answers: { 204: { description: 'It has ended.', schema: null } },
    run: async ({ house, params, caller }) => {
      await house.endSession(params['id'] as string, caller);
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
    summary: 'Issues a token for a name and a password.',
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
    summary: 'Issues a token for logging in as the user.',
    query: null,
    body: schema.issueToken,
    answers: { 201: { description: 'The token. It is shown only this once.', schema: schema.token } },
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
    summary: 'Revokes a token, and ends sessions that use it. Whether the token exists is not checked.',
    query: null,
    body: null,
    answers: { 204: { description: 'It is no longer valid.', schema: null } },
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
    summary: 'Revokes all tokens of a user issued so far, and ends sessions that use one.',
    query: null,
    body: null,
    answers: { 204: { description: 'They are no longer valid.', schema: null } },
    run: async ({ house, params, caller }) => {
      await house.change({ type: 'revokeAll', name: params['name'] as string }, caller);
      return NOTHING;
    },
  }),
];

type Wanted = Pick<(typeof schema.sessionPage)['_output'], 'user' | 'protocol' | 'state'>;

/** One of the list; shown when it is known to be on the page. */
interface Listed {
  readonly id: string;
  readonly shown: () => object;
}

function* chosen(house: Administration, { user, protocol, state }: Wanted): Iterable<Listed> {
  const isMeant = (name: string, adapter: string): boolean =>
    (user === undefined || name === user) && (protocol === undefined || adapter === protocol);
  if (state !== 'away') {
    for (const session of house.sessions()) {
      if (isMeant(session.ownIdentity.name, session.adapter)) yield { id: session.id, shown: () => shownSession(session, house) };
    }
  }
  if (state === 'connected') return;
  for (const kept of house.keptSessions()) {
    const client = house.clientOf(kept.key);
    if (isMeant(kept.user ?? '', client.protocol)) yield { id: keptId(kept), shown: () => shownKept(kept, client) };
  }
}

function shownSession(session: Session, house: Administration): object {
  const { id, ownIdentity, adapter, address, opened, subscriptions, executed, outbound, durable } = session;
  return {
    id,
    state: 'connected',
    user: userOf(ownIdentity),
    protocol: adapter,
    client: durable === null ? null : house.clientOf(durable.key).client,
    address: address === '' ? null : address,
    connectedSince: isoTime(opened),
    awaySince: null,
    expires: null,
    subscriptions: subscriptions.size,
    requests: executed,
    queued: outbound.length + (durable?.queue.size ?? 0),
    queuedBytes: outbound.bytes + (durable?.queueBytes ?? 0),
  };
}

function shownKept(kept: DurableSession, { protocol, client }: Client): object {
  const { user, awaySince, overAt, subscriptions, queue, queueBytes } = kept;
  return {
    id: keptId(kept),
    state: 'away',
    user: user === '' ? null : user,
    protocol,
    client,
    address: null,
    connectedSince: null,
    awaySince: awaySince === 0 ? null : isoTime(awaySince),
    expires: timeOrNever(overAt),
    subscriptions: subscriptions.size,
    requests: 0,
    queued: queue.size,
    queuedBytes: queueBytes,
  };
}

/** null: never, or later than a date can tell. */
function timeOrNever(ms: number): string | null {
  return ms <= 8.64e15 ? isoTime(ms) : null;
}

function userOf({ name }: Identity): string | null {
  return name === '' ? null : name;
}

function shownToken(user: string, { id, token, expires }: IssuedToken): object {
  return { id, token, user, expires: expires === null ? null : isoTime(expires) };
}
