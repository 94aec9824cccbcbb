// happn requests as the current client generation sends them, and the happn loads.

import { FrameRing } from './connection.mjs';
import { slowest, watchFaults } from './meter.mjs';
import { groupPattern, MATCHING, namePattern, storeAll, storedPath } from './stored.mjs';
import { clientFrame, FrameCounter, openWebSocket, receiveText } from './websocket.mjs';

const KEYS = 1024;
const FIRST_EVENT = 100_000;

async function ask(connection, request) {
  connection.write(clientFrame(JSON.stringify(request)));
  const answer = JSON.parse(await receiveText(connection));
  if (answer._meta?.status !== 'ok') throw new Error(`refused: ${JSON.stringify(answer)}`);
  return answer;
}

/** A logged-in session; `id` is the one the server gave. */
export async function openHappn(port) {
  const connection = await openWebSocket(port, '/primus?_primuscb=bench');
  await ask(connection, { action: 'configure-session', eventId: 1, data: { protocol: 'happn_4', version: '13.12.1', browser: false } });
  await ask(connection, { action: 'describe', eventId: 2, data: null });
  const login = await ask(connection, {
    action: 'login',
    eventId: 3,
    data: { info: { _browser: false, _local: false }, protocol: 'happn_4' },
    options: { timeout: 60000 },
  });
  return { connection, id: login.data.id ?? '00000000-0000-4000-8000-000000000000' };
}

const headOf = (session, number) => ({ eventId: FIRST_EVENT + number, sessionId: session.id });

const listen = (session, channel, eventType) =>
  ask(session.connection, {
    action: 'on',
    eventId: 4,
    path: channel,
    data: null,
    sessionId: session.id,
    options: { event_type: eventType, count: 0, timeout: 60000 },
  });

/** A request ring: one frame a key, all of one size. */
function ringOf(session, make) {
  const frames = Array.from({ length: KEYS }, (_, index) => clientFrame(JSON.stringify({ ...headOf(session, index), ...make(index) })));
  return { ring: new FrameRing(frames), first: frames[0] };
}

/** As long in JSON as the payload. */
const documentOf = (payload) => ({ v: payload.toString('latin1').slice('{"v":""}'.length) });

const OK = '"status":"ok"';
const allOk = () => OK;

const setRequest = (path, payload, options = {}) => ({
  action: 'set',
  path,
  data: documentOf(payload),
  options: { ...options, timeout: 60000 },
});
const setOf = (prefix, payloadOf, options) => (index) => setRequest(`${prefix}/${1000 + index}`, payloadOf(), options);

const getRequest = (path) => ({ action: 'get', path, data: null, options: { timeout: 60000 } });
const getOf = (prefix) => (index) => getRequest(`${prefix}/${1000 + index}`);

/** Sends the ring once around and waits for all answers, the first of which is checked. */
async function once(session, { ring, first }) {
  session.connection.write(first);
  const answer = JSON.parse(await receiveText(session.connection));
  if (answer._meta?.status !== 'ok' || answer.data === null) throw new Error(`refused: ${JSON.stringify(answer)}`);
  await new Promise((resolve, reject) => {
    let left = ring.count;
    const counter = new FrameCounter(allOk, reject);
    session.connection.onFault = reject;
    session.connection.handle((buffer, size) => {
      left -= counter.push(buffer, size);
      if (left === 0) resolve();
    });
    ring.send(session.connection, ring.count);
  });
}

/** Each of `connections` keeps `window` requests in flight; an answer is a message. */
async function requests(meter, { port, window, connections = 1 }, prepare) {
  const sessions = [];
  for (let index = 0; index < connections; index += 1) {
    const session = await openHappn(port);
    sessions.push(session);
    const { ring } = await prepare(session, index);
    session.connection.onFault = (error) => meter.fail(error);
    const lane = meter.lane(window, (n) => ring.send(session.connection, n));
    const counter = new FrameCounter(allOk, (error) => meter.fail(error));
    session.connection.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      const now = performance.now();
      meter.received(n, now);
      lane.complete(n, now);
    });
  }
  return sessions.map((session) => session.connection);
}

/** Subscriptions with wildcards of three shapes, none of which matches what `sets` sets. */
const NOT_MATCHING = [(number) => `/bench/set/*/x${number}`, (number) => `/bench/set/x${number}/**`, (number) => `/*/x${number}/*`];

async function subscribeBeside(port, count) {
  const session = await openHappn(port);
  for (let number = 0; number < count; number += 1) {
    await listen(session, `/ALL@${NOT_MATCHING[number % NOT_MATCHING.length](number)}`, 'all');
  }
  session.connection.handle(() => {});
  return session.connection;
}

/** `wildcards`: subscriptions of another session meanwhile. */
export async function sets(meter, options) {
  const { port, payloadOf, store, wildcards = 0 } = options;
  const beside = wildcards > 0 ? [await subscribeBeside(port, wildcards)] : [];
  watchFaults(meter, beside);
  const setOptions = store ? {} : { noStore: true };
  const connections = await requests(meter, options, async (session, index) => {
    const made = ringOf(session, setOf(`/bench/set/${index}`, payloadOf, setOptions));
    await once(session, made);
    return made;
  });
  return [...connections, ...beside];
}

export function gets(meter, options) {
  return requests(meter, options, async (session) => {
    await once(session, ringOf(session, setOf('/bench/get', options.payloadOf, {})));
    const made = ringOf(session, getOf('/bench/get'));
    await once(session, made);
    return made;
  });
}

/** Answers of `MATCHING` records each, by the patterns of `patternOf(index)`. */
const wildcardGets = (patternOf) => (meter, options) =>
  requests(meter, options, async (session) => {
    const made = ringOf(session, (index) => getRequest(patternOf(index, options.records)));
    session.connection.write(made.first);
    const answer = JSON.parse(await receiveText(session.connection));
    // Behind the records an item of the answer's own.
    if (answer.length !== MATCHING + 1) throw new Error(`${answer.length - 1} records instead of ${MATCHING}`);
    return made;
  });

export const groupGets = wildcardGets(groupPattern);
export const nameGets = wildcardGets(namePattern);

export async function fill({ port, records, payloadOf }) {
  const session = await openHappn(port);
  const counterOf = (onOdd) => new FrameCounter(allOk, onOdd);
  const frameOf = (number) => clientFrame(JSON.stringify({ ...headOf(session, number), ...setRequest(storedPath(number), payloadOf()) }));
  await storeAll(session.connection, records, counterOf, frameOf);
  session.connection.close();
}

/** One publisher; a message is done when the slowest subscriber has the event and the publisher its answer. */
export async function fanOut(meter, { port, window, payloadOf, subscribers }) {
  const publisher = await openHappn(port);
  const receivers = [];
  for (let index = 0; index < subscribers; index += 1) {
    const receiver = await openHappn(port);
    await listen(receiver, '/SET@/bench/fan-out', 'set');
    receivers.push(receiver);
  }
  const documents = Array.from({ length: KEYS }, () => documentOf(payloadOf()));
  const { ring } = ringOf(publisher, (index) => ({
    action: 'set',
    path: '/bench/fan-out',
    data: documents[index],
    options: { noStore: true, timeout: 60000 },
  }));
  ring.send(publisher.connection, 1);
  for (const receiver of receivers) await receiveText(receiver.connection);
  await receiveText(publisher.connection);

  const completed = slowest(subscribers + 1, window);
  const lane = meter.lane(window, (n) => ring.send(publisher.connection, n));
  [publisher, ...receivers].forEach((session, index) => {
    // The first one was received above.
    const wanted = index === 0 ? allOk : (position) => documents[(position + 1) % KEYS].v;
    const counter = new FrameCounter(wanted, (error) => meter.fail(error));
    session.connection.onFault = (error) => meter.fail(error);
    session.connection.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      const now = performance.now();
      // Deliveries are counted, not the publisher's answers.
      meter.received(index === 0 ? 0 : n, now);
      lane.complete(completed(index, n), now);
    });
  });
  return [publisher, ...receivers].map((session) => session.connection);
}
