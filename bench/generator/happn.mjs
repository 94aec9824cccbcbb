// happn requests as the current client generation sends them, and the happn loads.

import { FrameRing } from './connection.mjs';
import { slowest } from './mqtt.mjs';
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

/** A request ring: one frame a key, all of one size. */
function ringOf(session, make) {
  const frames = Array.from({ length: KEYS }, (_, index) =>
    clientFrame(JSON.stringify({ eventId: FIRST_EVENT + index, sessionId: session.id, ...make(index) })),
  );
  return { ring: new FrameRing(frames), first: frames[0] };
}

/** As long in JSON as the payload. */
const documentOf = (payload) => ({ v: payload.toString('latin1').slice('{"v":""}'.length) });

const OK = '"status":"ok"';
const allOk = () => OK;

const setOf = (prefix, payloadOf, options) => (index) => ({
  action: 'set',
  path: `${prefix}/${1000 + index}`,
  data: documentOf(payloadOf()),
  options: { ...options, timeout: 60000 },
});

const getOf = (prefix) => (index) => ({ action: 'get', path: `${prefix}/${1000 + index}`, data: null, options: { timeout: 60000 } });

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

export function sets(meter, options) {
  const setOptions = options.store ? {} : { noStore: true };
  return requests(meter, options, async (session, index) => {
    const made = ringOf(session, setOf(`/bench/set/${index}`, options.payloadOf, setOptions));
    await once(session, made);
    return made;
  });
}

export function gets(meter, options) {
  return requests(meter, options, async (session) => {
    await once(session, ringOf(session, setOf('/bench/get', options.payloadOf, {})));
    const made = ringOf(session, getOf('/bench/get'));
    await once(session, made);
    return made;
  });
}

/** One publisher; a message is done when the slowest subscriber has the event and the publisher its answer. */
export async function fanOut(meter, { port, window, payloadOf, subscribers }) {
  const publisher = await openHappn(port);
  const receivers = [];
  for (let index = 0; index < subscribers; index += 1) {
    const receiver = await openHappn(port);
    await ask(receiver.connection, {
      action: 'on',
      eventId: 4,
      path: '/SET@/bench/fan-out',
      data: null,
      sessionId: receiver.id,
      options: { event_type: 'set', count: 0, timeout: 60000 },
    });
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
