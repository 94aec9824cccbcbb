// The MQTT loads of a steady rate.

import { FrameRing, RingFollower, SizeCounter } from './connection.mjs';
import { slowest, watchFaults } from './meter.mjs';
import {
  connectMqtt,
  expectPacket,
  openMqtt,
  PUBACK_BYTES,
  packetLength,
  publishIdAt,
  publishPacket,
  subscribe,
  writePuback,
} from './mqtt-wire.mjs';

const PUBACK = 0x40;

const openAll = (port, count, options) => Promise.all(Array.from({ length: count }, () => openMqtt(port, options)));

/** Sends one message and checks that each subscriber gets it byte for byte, but for the packet id at `idAt` (0: none). */
async function probe(publisher, subscribers, frame, idAt = 0) {
  publisher.write(frame);
  for (const subscriber of subscribers) {
    const got = await subscriber.receive(packetLength);
    const wanted = Buffer.from(frame);
    if (idAt > 0) got.copy(wanted, idAt, idAt, idAt + 2);
    if (!got.equals(wanted)) throw new Error(`got ${got.toString('hex')} instead of ${wanted.toString('hex')}`);
    if (idAt === 0) continue;
    const acknowledgement = Buffer.alloc(PUBACK_BYTES);
    writePuback(acknowledgement, 0, got[idAt], got[idAt + 1]);
    subscriber.write(acknowledgement);
  }
}

const TOPIC = 'bench/topic/a';
/** Different frames of a ring; at QoS 1 with as many packet ids. */
const IDS = 1024;

/**
 * QoS 0, one publisher: a message is done when the slowest of `subscribers` has it. `stopped` more subscribers read nothing
 * after the first message; the server may end their connections.
 */
export async function fanOut(meter, { port, window, payloadOf, subscribers, stopped = 0, version }) {
  const publisher = await openMqtt(port, { version });
  const all = await openAll(port, subscribers + stopped, { version });
  for (const receiver of all) await subscribe(receiver, TOPIC, 0, version);
  await probe(publisher, all, publishPacket(TOPIC, payloadOf(), { version }));
  const receivers = all.slice(0, subscribers);
  for (const receiver of all.slice(subscribers)) receiver.stopReading();

  watchFaults(meter, [publisher, ...receivers]);
  const ring = new FrameRing(Array.from({ length: IDS }, () => publishPacket(TOPIC, payloadOf(), { version })));
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
  return [publisher, ...all];
}

/** One after the other, so that each has its CONNACK soon: how the system acknowledges what follows depends on that. */
async function openInTurn(port, count) {
  const connections = [];
  for (let i = 0; i < count; i += 1) connections.push(await openMqtt(port));
  return connections;
}

/** QoS 0, many publishers in turn, one subscriber; the window counts over all of them. */
export async function fanIn(meter, { port, window, payloadOf, publishers }) {
  const senders = await openInTurn(port, publishers);
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

/**
 * QoS 1 both ways: a message is done when it is acknowledged to the publisher and has reached the subscriber. The window is
 * no larger than the server allows.
 */
export async function atLeastOnce(meter, { port, window, payloadOf, version }) {
  const { connection: publisher, receiveMaximum } = await connectMqtt(port, { version });
  const subscriber = await openMqtt(port, { version });
  await subscribe(subscriber, TOPIC, 1, version);
  const frames = Array.from({ length: IDS }, (_, id) => publishPacket(TOPIC, payloadOf(), { qos: 1, id: id + 1, version }));
  const idAt = publishIdAt(TOPIC);
  await probe(publisher, [subscriber], frames[IDS - 1], idAt);
  const acknowledgements = new SizeCounter((await expectPacket(publisher, PUBACK)).length);

  watchFaults(meter, [publisher, subscriber]);
  const ring = new FrameRing(frames);
  const allowed = Math.min(window, receiveMaximum);
  const lane = meter.lane(allowed, (n) => ring.send(publisher, n));
  const completed = slowest(2, allowed);
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
    const answers = Buffer.allocUnsafe(PUBACK_BYTES * (Math.floor((position + length) / size) + 1));
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
        writePuback(answers, n * PUBACK_BYTES, high, buffer[at]);
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
    if (n > 0) connection.write(answers.subarray(0, n * PUBACK_BYTES));
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
  await expectPacket(publisher, PUBACK);

  watchFaults(meter, [publisher]);
  const ring = new FrameRing(frames);
  const lane = meter.lane(window, (n) => ring.send(publisher, n));
  const acknowledgements = new SizeCounter(PUBACK_BYTES);
  publisher.handle((buffer, size) => {
    const n = acknowledgements.push(buffer, size);
    const now = performance.now();
    meter.received(n, now);
    lane.complete(n, now);
  });
  return [publisher];
}
