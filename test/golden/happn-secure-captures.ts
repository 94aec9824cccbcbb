// The recorded happn exchanges with servers that have users: who they are, and what comes out otherwise.
// Lockout, ttl and inactivity are longer than they were in the recordings, so that a busy machine keeps them.

import { generateKeyPairSync } from 'node:crypto';
import { metaOf } from './happn-placeholders.js';
import type { Capture, Deviation, Expected } from './happn-replay.js';
import { PASSWORD, type SecureSetup } from './happn-secure-server.js';

type Users = NonNullable<SecureSetup['security']['users']>;

const TESTERS = {
  name: 'testers',
  permissions: {
    '/allowed/*': { actions: ['*'] },
    '/home/{{user.username}}/*': { actions: ['*'] },
    '/mixed/*': { actions: ['*'] },
    '/@HTTP/allowed/*': { actions: ['get'] },
    '/mixed/secret': { prohibit: ['get', 'on'] },
    '/readonly/*': { actions: ['get', 'on'] },
  },
} satisfies NonNullable<SecureSetup['security']['groups']>[number];

function tester(name: string, more: object = {}): Users[number] {
  return { name, password: PASSWORD, groups: ['testers'], customData: { c: 1 }, ...more };
}

function withUsers(users: Users, more: SecureSetup['security'] = {}): SecureSetup['security'] {
  return { groups: [TESTERS], users, ...more };
}

const PKCS1 = { modulusLength: 2_048, publicKeyEncoding: { type: 'pkcs1', format: 'pem' } } as const;
const rsa = () => generateKeyPairSync('rsa', PKCS1 as never) as unknown as { publicKey: string; privateKey: never };
const { publicKey, privateKey } = rsa();

type Fields = Record<string, unknown>;

/** The same frames with other contents. */
function changed(why: string, change: (frame: Fields, meta: Fields) => void): Deviation {
  const expect: Deviation['expect'] = (recorded) =>
    recorded.map(({ conn, frame }) => {
      if (typeof frame === 'string') return { conn, frame };
      const copy = structuredClone(frame) as Fields;
      change(copy, copy._meta as Fields);
      return { conn, frame: copy };
    });
  return { why, expect };
}

function errorOf(meta: Fields, fields: Fields): void {
  Object.assign(meta.error as Fields, fields);
}

const CUSTOM_DATA = 'custom data are a map, also of who has none';
const ONE_PROVIDER = 'there is one provider, and its name is default';

const LOGIN_OF_HAPPN = changed(ONE_PROVIDER, ({ data }) => Object.assign(data as Fields, { authType: 'default' }));
export const LOGIN_WITHOUT_CUSTOM_DATA = changed(`${CUSTOM_DATA}; ${ONE_PROVIDER}`, ({ data }) => {
  Object.assign(data as Fields, { authType: 'default' });
  Object.assign((data as Fields).user as Fields, { custom_data: {} });
});
const FAULT_OF_THE_ASKER = changed('the fault of who asks: an Error', (_frame, meta) => errorOf(meta, { name: 'Error' }));

function reason(text: string): Deviation {
  return changed('the reason alone, instead of two in one sentence', (_frame, meta) => errorOf(meta, { reason: text }));
}

const TESTERS_READ = '/groups/testers/permissions/%2Freadonly%2F*/on';

/** Acting for somebody else does not make a session. */
const OWN_ID = changed('an event names the connection that caused it, also on behalf of somebody: no id is made up', ({ _meta }) => {
  const meta = _meta as Fields;
  if (meta.type !== 'data') return;
  Object.assign(meta, { sessionId: ADMIN_SESSION, publicationId: `${ADMIN_SESSION}-4` });
  Object.assign(meta.eventOrigin as Fields, { id: ADMIN_SESSION });
});
const ADMIN_SESSION = 'c06be7db-8e8d-427a-bd93-51c98cfedc4a';

/** The notice and the end, without an answer. */
function endAlone(recorded: readonly Expected[]): Expected[] {
  return recorded.filter(({ frame }) => metaOf(frame)?.type !== 'response');
}

/** What a happn 2 server with users says, as happn-3 says it to such a client. */
function fromHappn2(recorded: readonly Expected[]): Expected[] {
  return recorded.map(({ conn, frame }) => {
    if (typeof frame === 'string') return { conn, frame };
    const copy = structuredClone(frame) as Fields;
    const meta = copy._meta as Fields;
    copy.protocol = 'happn';
    if (meta.error !== undefined) errorOf(meta, { code: 401 });
    else if (meta.action === 'describe') copy.data = NODE;
    else if (meta.action === 'login') copy.data = sessionFromHappn2(copy.data as Fields);
    return { conn, frame: copy };
  });
}

const NODE = { name: 'secure-node', secure: true };

function sessionFromHappn2({ id, token, timestamp, type, user }: Fields): Fields {
  const connection = { msgCount: 0, headers: {}, encrypted: false, address: {}, url: '', info: { _browser: false } };
  const login = { token, timestamp, type, origin: NODE.name, parentId: id, cookieName: 'happn_token', authType: 'default' };
  const shown = { ...(user as Fields), custom_data: {}, userid: '', permissions: {} };
  return { id, protocol: 'happn', happn: NODE, ...connection, ...login, user: shown };
}

export const SECURE_CAPTURES: readonly Capture[] = [
  {
    name: '13-secure-login',
    records: [],
    secure: {
      security: withUsers(
        [tester('alice'), tester('notoken'), { name: 'keyuser', publicKey, groups: ['testers'] }, { name: '_ANONYMOUS', groups: [] }],
        {
          anonymous: true,
          profiles: [{ name: 'notoken', session: { user: { username: 'notoken' } }, policy: { disallowTokenLogins: true } }],
        },
      ),
      tokens: { 9: 'notoken' },
      keys: { publicKey, privateKey, wrongKey: rsa().privateKey, wrongOn: 8 },
    },
    deviations: {
      22: LOGIN_WITHOUT_CUSTOM_DATA,
      27: changed(CUSTOM_DATA, ({ data }) => Object.assign((data as Fields).user as Fields, { custom_data: {} })),
    },
  },
  {
    name: '13b-secure-login-raw',
    records: [],
    secure: { security: withUsers([tester('alice'), tester('bob')]) },
    deviations: {},
  },
  {
    name: '13c-secure-action-before-login',
    records: [],
    secure: { security: withUsers([tester('alice')]) },
    deviations: {
      2: { why: 'refused, but not ended: clients that do not tell their version are older', expect: (recorded) => recorded.slice(0, 1) },
    },
  },
  {
    name: '14-authorization',
    records: [],
    secure: {
      security: withUsers([
        tester('alice'),
        tester('bob'),
        tester('dave', { permissions: { '/user/own/*': { actions: ['*'] }, '/allowed/no': { prohibit: ['set'] } } }),
      ]),
      logins: { 1: 'alice' },
    },
    deviations: {
      9: changed('counting needs the right to get', (frame, meta) => {
        frame.data = null;
        Object.assign(meta, { status: 'error', error: { name: 'AccessDenied', code: 403, message: 'unauthorized' } });
      }),
      18: reason('session attempting to act on behalf of is not authorized'),
    },
  },
  {
    name: '15c-change-password-revoke-token',
    records: [],
    secure: { security: withUsers([tester('carol')]), logins: { 1: 'carol', 2: 1 }, tokens: { 3: 1 } },
    deviations: { 1: FAULT_OF_THE_ASKER, 2: FAULT_OF_THE_ASKER },
  },
  {
    name: '15d-child-sessions',
    records: [],
    secure: { security: withUsers([tester('alice')]), logins: { 1: 'alice', 2: 1 } },
    deviations: {},
  },
  {
    name: '15-security-directory-changes',
    records: [],
    secure: {
      security: withUsers([tester('alice')]),
      logins: { 1: 'alice' },
      administration: {
        'server: permission removed from the group': (api) => api.ask('DELETE', TESTERS_READ),
        'server: permission upserted on the group': (api) => api.ask('PUT', TESTERS_READ, { effect: 'allow' }),
        'server: group upserted with a prohibition': (api) =>
          api.ask('PATCH', '/groups/testers', { permissions: { '/allowed/1': { prohibit: ['on'] } } }),
        'server: unlink group': (api) => api.ask('DELETE', '/users/alice/groups/testers'),
        'server: link group again': (api) => api.ask('PUT', '/users/alice/groups/testers'),
        'server: upsert user': (api) => api.ask('PUT', '/users/alice', { customData: { changed: true } }),
      },
    },
    deviations: {
      10: changed('a user is shown with the groups, as when the password changes', ({ data }) => {
        Object.assign((data as Fields).changedData as Fields, { groups: { testers: { data: {} } } });
      }),
    },
  },
  {
    name: '15b-user-deleted',
    records: [],
    secure: {
      security: withUsers([tester('carol')]),
      logins: { 1: 'carol' },
      administration: { 'server: user deleted': (api) => api.ask('DELETE', '/users/carol') },
    },
    deviations: {},
  },
  {
    name: '14b-on-behalf-of',
    records: [],
    secure: { security: withUsers([tester('bob')]), logins: { 1: '_ADMIN', 2: 'bob' } },
    deviations: { 2: OWN_ID, 4: reason('on behalf of user does not exist: nobody') },
  },
  {
    name: '16-account-lockout',
    records: [],
    secure: {
      security: withUsers([tester('locked')], { lockout: { attempts: 3, ms: 8_000 } }),
      pauses: { 'right password after retryInterval (2s in this run)': 8_100 },
    },
    deviations: {},
  },
  {
    name: '16b-usage-limit',
    records: [['/allowed/1', { v: 1 }]],
    secure: {
      security: withUsers([tester('used')], {
        profiles: [{ name: 'used', session: { user: { username: 'used' } }, policy: { usage_limit: 2 } }],
      }),
      logins: { 1: 'used' },
    },
    deviations: {},
  },
  {
    name: '16c-inactivity',
    records: [['/allowed/1', { v: 1 }]],
    secure: {
      security: withUsers([tester('idle')], {
        profiles: [{ name: 'idle', session: { user: { username: 'idle' } }, policy: { inactivity_threshold: 3_000 } }],
      }),
      logins: { 1: 'idle' },
      pauses: { 'get after it': 'ended' },
    },
    deviations: { 2: { why: 'the session has ended by then: the gateway does not wait for a request', expect: endAlone } },
  },
  {
    name: '16d-session-ttl',
    records: [],
    secure: {
      security: withUsers([tester('short')], {
        profiles: [{ name: 'short', session: { user: { username: 'short' } }, policy: { ttl: 2_500 } }],
      }),
    },
    deviations: {},
  },
  {
    name: '16e-policy-permissions',
    records: [['/allowed/1', { v: 1 }]],
    secure: {
      security: withUsers([tester('limited')], {
        profiles: [
          {
            name: 'limited',
            session: { user: { username: 'limited' } },
            policy: { ttl: 100_000, permissions: { '/only/this/*': { actions: ['get', 'on'] } } },
          },
        ],
      }),
    },
    deviations: {},
  },
  {
    name: '17b-http-token-on-websocket',
    records: [],
    secure: { security: withUsers([tester('alice')]), tokens: { 1: { http: 'alice' } } },
    deviations: {},
  },
  {
    name: '20-browser-handshake',
    records: [],
    secure: { security: withUsers([tester('alice', { customData: { changed: true } })]) },
    deviations: {},
  },
  {
    name: '31-happn2-secure',
    records: [],
    secure: { security: {} },
    translate: fromHappn2,
    translation: 'clients of happn 2 are answered as happn-3 answers them',
    deviations: {},
  },
  { name: '33-happn2-client-secure-happn3-server', records: [], secure: { security: {} }, deviations: { 2: LOGIN_OF_HAPPN } },
];
