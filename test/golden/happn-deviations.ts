// Which recorded happn exchanges come out otherwise, and how. What is not named here comes out as it was recorded.

import { metaOf } from './happn-placeholders.js';
import type { Capture, Deviation, Expected } from './happn-replay.js';

type Fields = Record<string, unknown>;
type Expect = Deviation['expect'];

const differs = (why: string, expect: Expect): Deviation => ({ why, expect });

const nothing: Expect = () => [];

/** Each answer becomes a refusal that names the option or the action; nothing else happens. */
function refused(recorded: readonly Expected[]): Expected[] {
  const answers = recorded.filter(({ frame }) => metaOf(frame)?.type === 'response');
  return answers.map(({ conn, frame }) => ({ conn, frame: errorAnswer(frame, { code: 501 }, 'happn_4') }));
}

/** `protocol` stands in an error although it does not stand in the list that was recorded. */
function errorAnswer(frame: unknown, error: Fields, protocol: string): unknown {
  const { eventId, sessionId, action } = metaOf(frame) as Fields;
  const meta = { type: 'response', status: 'error', published: false, eventId, sessionId, action, error };
  return JSON.parse(JSON.stringify({ data: null, _meta: meta, protocol })) as unknown;
}

function errorFor(eventId: number, action: string | undefined, message: string, protocol = 'happn_4', withSession = false): Expect {
  const frame = { _meta: { eventId, action, ...(withSession ? { sessionId: SESSION } : {}) } };
  return () => [{ conn: 1, frame: errorAnswer(frame, { name: 'Error', message }, protocol) }];
}

function okFor(eventId: number, action: string, protocol: string, withSession: boolean): Expect {
  const session = withSession ? { sessionId: SESSION } : {};
  const meta = { type: 'response', status: 'ok', published: false, eventId, action, ...session };
  return () => [{ conn: 1, frame: { data: null, _meta: meta, protocol } }];
}

/** Stands for the id of the session that asked. */
export const SESSION = '<session>';

/** The same frames with another body. */
function changed(change: (frame: Fields) => void): Expect {
  return (recorded) =>
    recorded.map(({ conn, frame }) => {
      const copy = structuredClone(frame) as Fields;
      change(copy);
      return { conn, frame: copy };
    });
}

/** A list without the items at these paths, and with other bodies for others. */
function items(bodies: { readonly [path: string]: Fields | null }): Expect {
  return (recorded) =>
    recorded.map(({ conn, frame }) => {
      const list = (frame as Fields[]).flatMap((item): Fields[] => {
        const body = bodies[String((item._meta as Fields | undefined)?.path)];
        if (body === undefined) return [item];
        return body === null ? [] : [{ ...body, _meta: item._meta }];
      });
      return { conn, frame: list };
    });
}

const TAG = 'a tag is stored as a snapshot, instead of overwriting the record';
const SIBLING = 'a sibling is stored below its path, instead of at it';
const NOBODY = 'what nobody hears is acknowledged at once, instead of never';
const ANSWERED = 'answered, because older clients wait for it; newer ones never send it';

function sequence(name: string, protocol: string, last: number, disconnectAnswered: boolean): Capture {
  return {
    name,
    records: [],
    deviations: {
      [last - 1]: differs(ANSWERED, okFor(14, 'revoke-session', protocol, true)),
      ...(disconnectAnswered ? {} : { [last]: differs(ANSWERED, okFor(15, 'disconnect', protocol, true)) }),
    },
  };
}

const TIME = 1_700_000_000_000;
const PARTIAL_WILDCARD = 'sessions of protocol 1 keep the wildcards of their time: /sub/a* matches /sub/a';
const FAULT = 'a fault that was put into the server of the seed';
const NOTICE_ALONE = 'the document shows the notice to its last client alone: all get it, the mark, and the end of the connection';
const NO_USERS = 'a gateway without users refuses nobody';
const REGEX_TYPE = '$regex parameter value must be an Array or a string';
const HEX = '0123456789abcdef0123456789abcdef';
const TAGGED = { data: { now: 'merged' }, an: { additional: 'field' }, value: 'str' };
const UNION = { an: { additional: 'field' }, data: { was: 'set' } };

export const CAPTURES: readonly Capture[] = [
  { name: '01-connect-insecure', records: [], deviations: {} },
  {
    name: '02-set',
    records: [],
    deviations: {
      20: differs(TAG, snapshotOf('set/some/data', 'MYTAG', TAGGED)),
      21: differs(
        SIBLING,
        changed(({ _meta }) => Object.assign(_meta as Fields, { path: `set/sibling/${HEX}` })),
      ),
      32: differs(`${TAG}; ${SIBLING}`, (recorded) =>
        moved('set/sibling', `set/sibling/${HEX}`)(items({ 'set/some/data': TAGGED })(recorded)),
      ),
    },
  },
  {
    name: '03-get',
    records: [
      ['get/users/a', { name: 'anna', age: 30, region: { name: 'North' }, tags: ['x', 'y'] }],
      ['get/users/b', { name: 'bob', age: 25, region: { name: 'South' } }],
      ['get/users/c', { name: 'cat', age: 41, region: { name: 'East' } }],
      ['get/users/deep/d', { name: 'dan', age: 12, region: { name: 'North' } }],
      ['get/array', [1, 2, 3]],
      ['get/prim', 'text'],
      ['get/nullrec', null],
    ],
    deviations: {
      18: differs('a criterion that is none is the fault of who asks: an Error', errorFor(28, 'get', REGEX_TYPE, 'happn_4', true)),
      21: differs('an unknown operator is named', errorFor(31, 'get', 'the operator $nope is not supported in criteria', 'happn_4', true)),
      37: differs('refused with code 501', refused),
      38: differs('refused with code 501', refused),
      40: differs('$like works', likeB),
    },
  },
  {
    name: '04-remove',
    records: [
      ['remove/one', { k: '1' }],
      ['remove/multiple/1', { k: '1' }],
      ['remove/multiple/2', { k: '2' }],
      ['remove/multiple/3', { k: '3' }],
    ],
    deviations: {
      5: differs('criteria hold for one path, too: what does not meet them stays', removes(0)),
      7: differs('two are left, because the first was not removed above', removes(2)),
    },
  },
  {
    name: '05-subscriptions',
    records: [
      ['sub/init/1', { v: 1 }],
      ['sub/init/2', { v: 2 }],
      ['sub/init/prim', 'p'],
      ['sub/init/x/y', { deep: 1 }],
    ],
    deviations: {},
  },
  {
    name: '07-consistency',
    records: [],
    deviations: {
      8: differs(NOBODY, acknowledgedAtOnce),
      9: differs(NOBODY, acknowledgedAtOnce),
      15: differs('the events leave before somebody else closes the connection', (recorded) => [...recorded, ...deferredLast(recorded)]),
      16: differs('they came with the exchange before', nothing),
    },
  },
  { name: '08-target-clients', records: [], deviations: {} },
  { name: '09-disconnect', records: [], deviations: {} },
  { name: '11-ping-interval-400ms', records: [], config: { pingIntervalMs: 150 }, deviations: {} },
  { name: '10-server-stop-reconnect-true', records: [], deviations: {} },
  { name: '10-server-stop-reconnect-false', records: [], deviations: {} },
  {
    name: '12-errors-insecure',
    records: [],
    deviations: {
      14: differs('a validation error instead of an internal one', errorFor(13, 'get', 'Bad path [undefined], must be a string')),
      17: differs('answered instead of left to time out', errorFor(16, 'frobnicate', 'unknown action: frobnicate')),
      18: differs('answered instead of left to time out', errorFor(17, undefined, 'unknown action: undefined')),
      26: differs(ANSWERED, okFor(25, 'disconnect', 'happn_4', false)),
      35: differs('an error and the end, instead of silence for ever', () => [
        { conn: 1, frame: errorAnswer({ _meta: { eventId: 32, action: 'configure-session' } }, { code: 501 }, 'happn_1') },
        { conn: 1, frame: { _meta: { type: 'system' }, data: 'server-side-disconnect', eventKey: 'server-side-disconnect' } },
        { conn: 1, frame: 'primus::server::close' },
        { conn: 1, frame: '<closed>' },
      ]),
    },
  },
  { name: '18-reconnect-resubscribe', records: [], deviations: {} },
  sequence('19-protocol-none', 'happn', 15, false),
  sequence('19-protocol-happn_1', 'happn_1', 16, false),
  sequence('19-protocol-happn_1.3.0', 'happn_1', 16, false),
  sequence('19-protocol-happn_2', 'happn_2', 16, true),
  sequence('19-protocol-happn_3', 'happn_3', 16, false),
  sequence('19-protocol-happn_4', 'happn_4', 16, false),
  {
    name: '30-happn2-client-happn2-server',
    records: [],
    translate: fromHappn2,
    translation: 'clients of happn 2 are answered as happn-3 answers them',
    deviations: {
      13: differs('data. before the name of a field stands for the record, as on happn-3', items({ '/set/some/data': null })),
      29: differs(
        'a wildcard is anchored at both ends: it does not find the snapshot below /_TAGS',
        changed((frame) => Object.assign(frame, { data: { removed: 2 } })),
      ),
    },
  },
  {
    name: '30b-happn2-server-stop',
    records: [],
    translate: fromHappn2,
    translation: 'clients of happn 2 are answered as happn-3 answers them',
    deviations: {},
  },
  {
    name: '32-happn2-client-happn3-server',
    records: [],
    translate: oneProtocolName,
    translation: 'events of a session name the protocol that its answers name',
    deviations: {
      5: differs(TAG, snapshotOf('/set/some/data', 'MYTAG', UNION)),
      6: differs(
        SIBLING,
        changed(({ _meta }) => Object.assign(_meta as Fields, { path: `set/sibling/data/${HEX}` })),
      ),
      9: differs(
        'the tag request did not overwrite the record',
        changed((frame) => Object.assign(frame, { data: UNION })),
      ),
      11: differs('the tag request did not overwrite the record', items({ '/set/some/data': UNION })),
      17: differs(PARTIAL_WILDCARD, alsoOn('/SET@/sub/a*')),
      19: differs(PARTIAL_WILDCARD, alsoOn('/SET@/sub/a*')),
    },
  },
  { name: '32b-happn2-client-pings-happn3-server', records: [], deviations: {} },
  {
    name: 'seed-000',
    records: [],
    translate: fromSeed000,
    translation: 'as happn-3 answers protocol 1 today; users, their tokens and their names in records come with security',
    deviations: { 7: differs('a fault that was put into the server of the seed', nothing) },
  },
  {
    name: 'seed-001',
    records: [],
    translate: fromSeed001,
    translation: 'as happn-3 answers protocol 1 today: meta stands once, and internal marks are not sent',
    deviations: {
      19: differs(NOTICE_ALONE, dismissed(1, 2)),
    },
  },
  {
    name: 'seed-004',
    records: [
      ['remove/one', { a: 1 }],
      ['remove/multiple/1', { a: 1 }],
      ['remove/multiple/2', { a: 2 }],
      ['/subscribe/on/remove', { a: 1 }],
    ],
    translate: fromHappn2,
    translation: 'clients of happn 2 are answered as happn-3 answers them; users and tokens come with security',
    deviations: {
      6: differs(
        'the id of a record is its path',
        changed(({ data }) => Object.assign(data as Fields, { _id: '/set/some/data' })),
      ),
      7: differs(
        'nothing is there to be tagged: an error, instead of an empty snapshot',
        errorFor(6, 'set', "Attempt to tag something that doesn't exist in the first place", 'happn', true),
      ),
      9: differs(FAULT, stored(8, 'throw/an/error', { error: { was: 'thrown' } })),
      10: differs(NO_USERS, stored(9, 'try/and/set/no/permission', { access: { was: 'denied' } })),
      14: differs(FAULT, removedNothing(13, 'remove/failed')),
      15: differs(NO_USERS, removedNothing(14, 'remove/no/permissions')),
      28: differs(FAULT, subscribed(27)),
      29: differs(NO_USERS, subscribed(28)),
      31: differs(NOTICE_ALONE, dismissed(1)),
    },
  },
];

/** Each of these clients is told to stay away, in the words of protocol 1. */
function dismissed(...conns: readonly number[]): Expect {
  const notice = { _meta: { type: 'system' }, data: 'server-side-disconnect', eventKey: 'server-side-disconnect' };
  return () => conns.flatMap((conn) => [notice, 'primus::server::close', '<closed>'].map((frame) => ({ conn, frame })));
}

/** What a request is answered with that was refused in the recording. */
function stored(eventId: number, path: string, data: Fields): Expect {
  const times = { created: TIME, modified: TIME };
  return () => [answered(eventId, 'set', data, { path, ...times, published: true })];
}

function removedNothing(eventId: number, path: string): Expect {
  return () => [answered(eventId, 'remove', { removed: 0 }, { path, timestamp: TIME, published: true })];
}

function subscribed(eventId: number): Expect {
  return () => [answered(eventId, 'on', { id: 'a reference' }, { published: false })];
}

function answered(eventId: number, action: string, data: Fields, meta: Fields): Expected {
  const about = { type: 'response', status: 'ok', eventId, sessionId: SESSION, action, ...meta };
  return { conn: 1, frame: { data, _meta: about, protocol: 'happn' } };
}

function fromSeed000(recorded: readonly Expected[]): Expected[] {
  return changed((frame) => {
    const meta = frame._meta as Fields;
    frame.protocol = 'happn_1';
    delete meta.modifiedBy;
    if (meta.action === 'set') meta.published = true;
    if (meta.action === 'describe') frame.data = NODE;
    if (meta.action === 'login') frame.data = sessionOf(frame.data as Fields, 'happn_1.1.0');
  })(recorded) as Expected[];
}

function fromSeed001(recorded: readonly Expected[]): Expected[] {
  return changed((frame) => {
    const meta = frame._meta as Fields;
    if (meta.type === 'system') return;
    delete frame.__outbound;
    delete meta.nullData;
    frame.protocol = 'happn_1';
    if (frame.data !== null) delete (frame.data as Fields)._meta;
    if (meta.action === 'describe') frame.data = NODE;
    if (meta.action === 'login') frame.data = sessionOf(frame.data as Fields, 'happn_1.3.0');
    if (meta.action === 'on') frame.data = { id: 'a reference' };
  })(recorded) as Expected[];
}

const NODE = { name: 'reference-node', secure: false };

function sessionOf({ id, info }: Fields, protocol: string): Fields {
  return { msgCount: 0, id, protocol, happn: NODE, headers: {}, encrypted: false, address: {}, url: '', version: 'unknown', info };
}

/** The same event on one more channel. */
function alsoOn(channel: string): Expect {
  return (recorded) => {
    const event = recorded.find(({ frame }) => metaOf(frame)?.type === 'data') as Expected;
    const copy = structuredClone(event.frame) as Fields;
    (copy._meta as Fields).channel = channel;
    return [...recorded, { conn: event.conn, frame: copy }];
  };
}

/** A list with one item at another path. */
function moved(from: string, to: string): Expect {
  return (recorded) =>
    recorded.map(({ conn, frame }) => {
      const list = (frame as Fields[]).map((item): Fields => {
        const meta = item._meta as Fields | undefined;
        return meta?.path === from ? { ...item, _meta: { ...meta, path: to } } : item;
      });
      return { conn, frame: list };
    });
}

/** The same removal, of so many. */
function removes(removed: number): Expect {
  return changed((frame) => Object.assign(frame, { data: { removed } }));
}

/** The answer is the list of what ends in b. */
function likeB(recorded: readonly Expected[]): Expected[] {
  const { eventId, sessionId } = metaOf(recorded[0]?.frame) as Fields;
  const record = { name: 'bob', age: 25, region: { name: 'South' }, _meta: { path: 'get/users/b', created: TIME, modified: TIME } };
  const end = { type: 'response', status: 'ok', published: false, eventId, sessionId, action: 'get' };
  return [{ conn: 1, frame: [record, end] }];
}

/** The answer to a tag. */
function snapshotOf(path: string, tag: string, data: Fields): Expect {
  const record = { data, created: TIME, modified: TIME, _id: path, _meta: { path } };
  return changed((frame) => {
    frame.data = record;
    Object.assign(frame._meta as Fields, { path: `/_TAGS${path}/${HEX}`, tag });
  });
}

/** The events and the acknowledgement that follow the recorded answer of the last set in 07. */
function deferredLast(recorded: readonly Expected[]): Expected[] {
  const { data, _meta, protocol } = (recorded[0] as Expected).frame as Fields;
  const { eventId, sessionId, path } = _meta as Fields;
  const id = `${String(sessionId)}-${String(eventId)}`;
  const about = { action: `/SET@${String(path)}`, type: 'data', sessionId, consistency: 1, publicationId: id };
  const event = { data, _meta: { ...about, path, created: TIME, modified: TIME, channel: '/SET@/cons/*' }, protocol };
  const result = { successful: 2, failed: 0, skipped: 0, queued: 2 };
  return [
    { conn: 1, frame: { id, action: 'publication-ack', result, status: 'ok', _meta: { type: 'ack', eventId }, protocol } },
    { conn: 2, frame: event },
    { conn: 3, frame: event },
  ];
}

function acknowledgedAtOnce(recorded: readonly Expected[]): Expected[] {
  return changed((frame) => {
    if ((frame._meta as Fields).type !== 'ack') return;
    frame.status = 'ok';
    delete frame.error;
  })(recorded) as Expected[];
}

/** The real server calls the protocol of such a session by two names. */
function oneProtocolName(recorded: readonly Expected[]): Expected[] {
  return changed((frame) => {
    if (frame.protocol === 'happn_1') frame.protocol = 'happn';
  })(recorded) as Expected[];
}

/** What a happn 2 server says, said as happn-3 says it to a client of happn 2. */
function fromHappn2(recorded: readonly Expected[]): Expected[] {
  const answer = recorded.map(({ frame }) => metaOf(frame)).find((meta) => meta?.type === 'response');
  const initial = recorded.filter(({ frame }) => metaOf(frame)?.type === 'data' && metaOf(frame)?.eventId !== undefined);
  return recorded.map(({ conn, frame }) => {
    if (typeof frame === 'string') return { conn, frame };
    if (Array.isArray(frame)) return { conn, frame: frame.map(withoutId) };
    const copy = structuredClone(frame) as Fields;
    copy.protocol = 'happn';
    const meta = copy._meta as Fields;
    if (meta.type === 'system') return { conn, frame };
    if (meta.type === 'data') eventFromHappn2(copy, meta, answer?.eventId);
    else answerFromHappn2(copy, meta, initial);
    return { conn, frame: copy };
  });
}

function withoutId(item: Fields): Fields {
  if (item._meta === undefined) return item;
  const { _id, ...meta } = item._meta as Fields;
  return { ...item, _meta: meta };
}

function eventFromHappn2(frame: Fields, meta: Fields, eventId: unknown): void {
  delete meta.timestamp;
  const publicationId = `${String(meta.sessionId)}-${String(eventId)}`;
  if (meta.eventId === undefined) {
    Object.assign(meta, { consistency: 2, publicationId });
    return;
  }
  const { channel, sessionId, path, created, modified } = meta;
  frame.data = { ...(frame.data as Fields), _meta: { path, created, modified } };
  frame._meta = { action: `/ON@${String(channel)}`, type: 'data', sessionId, consistency: 2, publicationId, path: channel, channel };
}

function answerFromHappn2(frame: Fields, meta: Fields, initial: readonly Expected[]): void {
  const action = String(meta.action);
  if (action.startsWith('/')) meta.action = action.slice(1, action.indexOf('@')).toLowerCase();
  if (action === 'describe') frame.data = { name: 'reference-node', secure: false };
  if (action === 'login') frame.data = sessionFromHappn2(frame.data as Fields);
  if (action !== 'on') return;
  if (!Array.isArray(frame.data)) {
    frame.data = { id: 'a reference' };
    return;
  }
  meta.referenceId = 'a reference';
  frame.data = [...frame.data.map(withoutId), ...initial.map(({ frame: event }) => itemOf(event as Fields))];
}

function itemOf(event: Fields): Fields {
  const { path, created, modified } = event._meta as Fields;
  return { ...(event.data as Fields), _meta: { path, created, modified } };
}

function sessionFromHappn2({ id }: Fields): Fields {
  const shown = { headers: {}, encrypted: false, address: {}, url: '' };
  return { msgCount: 0, id, protocol: 'happn', happn: NODE, ...shown, info: { _browser: false } };
}
