// MQTT 3.1.1 packets built by hand, and the MQTT loads over them.

import { Connection, FrameRing, RingFollower, SizeCounter } from './connection.mjs';

const text = (value) => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

const number16 = (value) => Buffer.from([value >> 8, value & 0xff]);

function packet(first, ...parts) {
  const body = Buffer.concat(parts);
  const length = [];
  let rest = body.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

const CLEAN_SESSION = 0x02;
const connectPacket = (clientId, keepAlive) =>
  packet(0x10, text('MQTT'), Buffer.from([4, CLEAN_SESSION]), number16(keepAlive), text(clientId));
const subscribePacket = (id, filter, qos) => packet(0x82, number16(id), text(filter), Buffer.from([qos]));

/** A PUBLISH; `id` counts for QoS 1 only. */
function publishPacket(topic, payload, { qos = 0, retain = false, id = 0 } = {}) {
  const first = 0x30 | (qos << 1) | (retain ? 1 : 0);
  return packet(first, text(topic), qos === 0 ? Buffer.alloc(0) : number16(id), payload);
}

/** Length of the packet at the front, 0 while its header or body is incomplete. */
function packetLength(bytes) {
  let size = 0;
  for (let index = 1; index < Math.min(5, bytes.length); index += 1) {
    size |= (bytes[index] & 0x7f) << (7 * (index - 1));
    if (bytes[index] < 0x80) return bytes.length >= index + 1 + size ? index + 1 + size : 0;
  }
  return 0;
}

async function expectPacket(connection, first) {
  const bytes = await connection.receive(packetLength);
  if (bytes[0] !== first) throw new Error(`expected packet 0x${first.toString(16)}, got ${bytes.toString('hex')}`);
  return bytes;
}

let clients = 0;

export async function openMqtt(port, { keepAlive = 0 } = {}) {
  const connection = await Connection.open(port);
  clients += 1;
  connection.write(connectPacket(`bench-${process.pid}-${clients}`, keepAlive));
  const answer = await expectPacket(connection, 0x20);
  if (answer[3] !== 0) throw new Error(`connection refused with code ${answer[3]}`);
  return connection;
}

async function subscribe(connection, filter, qos) {
  connection.write(subscribePacket(1, filter, qos));
  const answer = await expectPacket(connection, 0x90);
  if (answer[4] !== qos) throw new Error(`subscription granted at ${answer[4]} instead of ${qos}`);
}

const openAll = (port, count) => Promise.all(Array.from({ length: count }, () => openMqtt(port)));

function watchFaults(meter, connections) {
  for (const connection of connections) connection.onFault = (error) => meter.fail(error);
}

/** Sends one message and checks that each subscriber gets it byte for byte, but for the packet id at `idAt` (0: none). */
async function probe(publisher, subscribers, frame, idAt = 0) {
  publisher.write(frame);
  for (const subscriber of subscribers) {
    const got = await subscriber.receive(packetLength);
    const wanted = Buffer.from(frame);
    if (idAt > 0) got.copy(wanted, idAt, idAt, idAt + 2);
    if (!got.equals(wanted)) throw new Error(`got ${got.toString('hex')} instead of ${wanted.toString('hex')}`);
    if (idAt > 0) subscriber.write(Buffer.from([0x40, 2, got[idAt], got[idAt + 1]]));
  }
}

const TOPIC = 'bench/topic/a';
const PUBACK_SIZE = 4;
/** Different frames of a ring; at QoS 1 with as many packet ids. */
const IDS = 1024;

/** QoS 0, one publisher: a message is done when the slowest of `subscribers` has it. */
export async function fanOut(meter, { port, window, payloadOf, subscribers }) {
  const publisher = await openMqtt(port);
  const receivers = await openAll(port, subscribers);
  for (const receiver of receivers) await subscribe(receiver, TOPIC, 0);
  await probe(publisher, receivers, publishPacket(TOPIC, payloadOf()));

  watchFaults(meter, [publisher, ...receivers]);
  const ring = new FrameRing(Array.from({ length: IDS }, () => publishPacket(TOPIC, payloadOf())));
  const lane = meter.lane(window, (n) => ring.send(publisher, n));
  const completed = slowest(subscribers, window);
  publisher.handle(() => {});
  receivers.forEach((receiver, index) => {
    const follower = new RingFollower(ring, 0, (error) => meter.fail(error));
    receiver.handle((buffer, size) => {
      const n = follower.push(buffer, size);
      const now = performance.now();
      meter.received(n, now);
      lane.complete(completed(index, n), now);
    });
  });
  return [publisher, ...receivers];
}

/**
 * Tells how many messages became complete when receiver `index` got `n` more: a message is complete when all have it.
 * `waiting[slot]` counts the receivers that still miss the message of that slot.
 */
export function slowest(receivers, window) {
  const slots = window * 2;
  const waiting = new Uint32Array(slots).fill(receivers);
  const positions = new Uint32Array(receivers);
  return (index, n) => {
    let complete = 0;
    for (let i = 0; i < n; i += 1) {
      const slot = positions[index];
      positions[index] = (slot + 1) % slots;
      waiting[slot] -= 1;
      if (waiting[slot] === 0) {
        waiting[slot] = receivers;
        complete += 1;
      }
    }
    return complete;
  };
}

/** QoS 0, many publishers in turn, one subscriber; the window counts over all of them. */
export async function fanIn(meter, { port, window, payloadOf, publishers }) {
  const senders = await openAll(port, publishers);
  const receiver = await openMqtt(port);
  await subscribe(receiver, TOPIC, 0);
  const frames = senders.map(() => publishPacket(TOPIC, payloadOf()));
  await probe(senders[0], [receiver], frames[0]);

  watchFaults(meter, [...senders, receiver]);
  let next = 0;
  const lane = meter.lane(window, (n) => {
    for (let i = 0; i < n; i += 1) {
      senders[next].write(frames[next]);
      next = (next + 1) % publishers;
    }
  });
  for (const sender of senders) sender.handle(() => {});
  const counter = new SizeCounter(frames[0].length);
  receiver.handle((buffer, size) => {
    const n = counter.push(buffer, size);
    const now = performance.now();
    meter.received(n, now);
    lane.complete(n, now);
  });
  return [...senders, receiver];
}

/** QoS 1 both ways: a message is done when it is acknowledged to the publisher and has reached the subscriber. */
export async function atLeastOnce(meter, { port, window, payloadOf }) {
  const publisher = await openMqtt(port);
  const subscriber = await openMqtt(port);
  await subscribe(subscriber, TOPIC, 1);
  const frames = Array.from({ length: IDS }, (_, id) => publishPacket(TOPIC, payloadOf(), { qos: 1, id: id + 1 }));
  const idAt = 2 + 2 + TOPIC.length;
  await probe(publisher, [subscriber], frames[IDS - 1], idAt);
  await expectPacket(publisher, 0x40);

  watchFaults(meter, [publisher, subscriber]);
  const ring = new FrameRing(frames);
  const lane = meter.lane(window, (n) => ring.send(publisher, n));
  const completed = slowest(2, window);
  const acknowledgements = new SizeCounter(PUBACK_SIZE);
  publisher.handle((buffer, size) => lane.complete(completed(0, acknowledgements.push(buffer, size)), performance.now()));
  const acknowledge = acknowledger(subscriber, frames[0].length, idAt);
  const follower = new RingFollower(ring, idAt + 2, (error) => meter.fail(error));
  subscriber.handle((buffer, size) => {
    const n = acknowledge(buffer, size);
    follower.push(buffer, size);
    const now = performance.now();
    meter.received(n, now);
    lane.complete(completed(1, n), now);
  });
  return [publisher, subscriber];
}

/** Answers each packet of `size` bytes in the stream with a PUBACK of the id at `idAt`; tells how many there were. */
function acknowledger(connection, size, idAt) {
  let position = 0;
  let high = 0;
  return (buffer, length) => {
    const answers = Buffer.allocUnsafe(PUBACK_SIZE * (Math.floor((position + length) / size) + 1));
    let n = 0;
    let at = 0;
    // One jump per packet: to the two id bytes, which two chunks may share between them.
    while (at < length) {
      if (position < idAt) {
        const step = Math.min(idAt - position, length - at);
        position += step;
        at += step;
      } else if (position === idAt) {
        high = buffer[at];
        position += 1;
        at += 1;
      } else if (position === idAt + 1) {
        answers[n * 4] = 0x40;
        answers[n * 4 + 1] = 2;
        answers[n * 4 + 2] = high;
        answers[n * 4 + 3] = buffer[at];
        n += 1;
        position += 1;
        at += 1;
      } else {
        const step = Math.min(size - position, length - at);
        position += step;
        at += step;
        if (position === size) position = 0;
      }
    }
    if (n > 0) connection.write(answers.subarray(0, n * 4));
    return n;
  };
}

/** QoS 1 with retain over 1,024 topics, nobody subscribed: a message is done when it is acknowledged. */
export async function retained(meter, { port, window, payloadOf }) {
  const publisher = await openMqtt(port);
  const frames = Array.from({ length: IDS }, (_, id) =>
    publishPacket(`bench/retained/${1000 + id}`, payloadOf(), { qos: 1, retain: true, id: id + 1 }),
  );
  publisher.write(frames[IDS - 1]);
  await expectPacket(publisher, 0x40);

  watchFaults(meter, [publisher]);
  const ring = new FrameRing(frames);
  const lane = meter.lane(window, (n) => ring.send(publisher, n));
  const acknowledgements = new SizeCounter(PUBACK_SIZE);
  publisher.handle((buffer, size) => {
    const n = acknowledgements.push(buffer, size);
    const now = performance.now();
    meter.received(n, now);
    lane.complete(n, now);
  });
  return [publisher];
}
