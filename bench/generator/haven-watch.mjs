// The Haven load of pushed watch events: one writer, many watchers. A push holds one event or several, whose number is in its head.

import { Packr } from 'msgpackr';
import { FrameRing } from './connection.mjs';
import { frame, openHaven, receive, writeFrame } from './haven.mjs';
import { slowest, watchFaults } from './meter.mjs';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const PATH = '/bench/watch';
const KEYS = 1024;
const PREFIX_BYTES = 4;
/** What every push begins with, up to the list of its events. */
const HEAD = packr.pack({ action: 'heartbeat', type: 'pong', push: true, result: [] }).subarray(0, -1);
const EVENTS_AT = PREFIX_BYTES + HEAD.length;
/** With the longest head that a list has. */
const SEEN_BYTES = EVENTS_AT + 5;
/** One push of so many is looked at whole. */
const LOOK_AT = 256;

/** Counts the events of a stream of pushes, and looks at some of them: they must be in the order of the writes. */
class EventCounter {
  #seen = Buffer.alloc(SEEN_BYTES);
  #seenSize = 0;
  /** Bytes of the present push that are still to come; it is kept when it is to be looked at. */
  #skip = 0;
  #kept = null;
  #pushes = 0;
  #events = 0;
  #pending = 0;
  #values;
  #onOdd;

  /** `values`: what is written, in turn. */
  constructor(values, onOdd) {
    this.#values = values;
    this.#onOdd = onOdd;
  }

  push(buffer, size) {
    let at = 0;
    let n = 0;
    while (at < size) {
      if (this.#skip === 0) {
        const step = Math.min(SEEN_BYTES - this.#seenSize, size - at);
        buffer.copy(this.#seen, this.#seenSize, at, at + step);
        this.#seenSize += step;
        at += step;
        if (this.#seenSize < SEEN_BYTES) break;
        this.#begin();
      }
      const step = Math.min(this.#skip, size - at);
      if (this.#kept !== null) this.#kept.push(Buffer.from(buffer.subarray(at, at + step)));
      this.#skip -= step;
      at += step;
      if (this.#skip === 0) n += this.#finish();
    }
    return n;
  }

  #begin() {
    const seen = this.#seen;
    this.#skip = PREFIX_BYTES + seen.readUInt32BE(0) - SEEN_BYTES;
    if (seen.compare(HEAD, 0, HEAD.length, PREFIX_BYTES, EVENTS_AT) !== 0) this.#onOdd(new Error('a message that is no push'));
    const token = seen[EVENTS_AT];
    this.#pending = token === 0xdc ? seen.readUInt16BE(EVENTS_AT + 1) : token & 0x0f;
    this.#kept = this.#pushes % LOOK_AT === 0 ? [Buffer.from(seen)] : null;
  }

  #finish() {
    if (this.#kept !== null) this.#look(packr.unpack(Buffer.concat(this.#kept).subarray(PREFIX_BYTES)));
    this.#seenSize = 0;
    this.#pushes += 1;
    this.#events += this.#pending;
    return this.#pending;
  }

  #look({ result }) {
    const isRight = ({ path, value }, index) => path === PATH && value === this.#values[(this.#events + index) % this.#values.length];
    if (result.length !== this.#pending || !result.every(isRight))
      this.#onOdd(new Error(`event ${this.#events} of a watcher is not what was written`));
  }
}

async function openWatcher(port) {
  const connection = await openHaven(port);
  connection.write(frame({ action: 'query', type: 'watch', path: PATH, push: true }));
  const answer = await receive(connection);
  if (answer.result !== true) throw new Error(`refused: ${JSON.stringify(answer)}`);
  return connection;
}

/** An event is a write that one watcher was told of; a write is done when the slowest watcher has it. */
export async function watchPush(meter, { port, window, payloadOf, subscribers }) {
  const writer = await openHaven(port);
  const watchers = await Promise.all(Array.from({ length: subscribers }, () => openWatcher(port)));
  watchFaults(meter, [writer, ...watchers]);
  const payloads = Array.from({ length: KEYS }, () => payloadOf());
  const ring = new FrameRing(payloads.map((payload) => writeFrame(PATH, payload)));
  const lane = meter.lane(window, (n) => ring.send(writer, n));
  const completed = slowest(subscribers, window);
  const values = payloads.map((payload) => payload.toString('latin1'));
  writer.handle(() => {});
  watchers.forEach((watcher, index) => {
    const counter = new EventCounter(values, (error) => meter.fail(error));
    watcher.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      const now = performance.now();
      meter.received(n, now);
      lane.complete(completed(index, n), now);
    });
  });
  return [writer, ...watchers];
}
