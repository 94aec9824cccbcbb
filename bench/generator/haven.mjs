// Haven messages (arrays behind a length prefix) and the Haven loads.

import { Packr } from 'msgpackr';
import { Connection, FrameRing } from './connection.mjs';
import { storeAll, storedPath } from './stored.mjs';

const packr = new Packr({ useRecords: false });
const CONNECT = 0x01;
const DATA = 0x02;
const READ = 0x01;
const WRITE = 0x03;
const READ_WRITE = 0x0c;
const DATA_OK = 0x14;
const MAGIC = 0xdecafbad;
const KEYS = 1024;

export function frame(value) {
  const body = packr.pack(value);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

const frameLength = (bytes) => (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0) ? 4 + bytes.readUInt32BE(0) : 0);

export async function receive(connection) {
  return packr.unpack((await connection.receive(frameLength)).subarray(4));
}

export async function openHaven(port) {
  const connection = await Connection.open(port);
  connection.write(frame([CONNECT, MAGIC, 1]));
  const answer = await receive(connection);
  if (answer[0] !== 1) throw new Error(`connection refused: ${JSON.stringify(answer)}`);
  return connection;
}

export const writeFrame = (path, payload) => frame([DATA, WRITE, READ_WRITE, null, path, payload.toString('latin1')]);
const writeOf = (prefix, payloadOf) => (index) => writeFrame(`${prefix}/${1000 + index}`, payloadOf());
const readOf = (prefix) => (index) => frame([DATA, READ, READ_WRITE, null, `${prefix}/${1000 + index}`, null]);

const HEAD_BYTES = 4;
/** The length, the array's marker and its first element, which is the status. */
const SEEN_BYTES = HEAD_BYTES + 2;

/** Counts length-prefixed answers in a stream; one whose status is not ok is told to `onOdd`. */
class AnswerCounter {
  #head = Buffer.alloc(SEEN_BYTES);
  #headSize = 0;
  #skip = 0;
  #onOdd;

  constructor(onOdd) {
    this.#onOdd = onOdd;
  }

  push(buffer, size) {
    let at = 0;
    let n = 0;
    while (at < size) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, size - at);
        this.#skip -= step;
        at += step;
        if (this.#skip === 0) n += 1;
        continue;
      }
      this.#head[this.#headSize] = buffer[at];
      this.#headSize += 1;
      at += 1;
      if (this.#headSize < SEEN_BYTES) continue;
      this.#headSize = 0;
      this.#skip = HEAD_BYTES + this.#head.readUInt32BE(0) - SEEN_BYTES;
      if (this.#head[SEEN_BYTES - 1] !== DATA_OK) this.#onOdd(new Error(`an answer of status ${this.#head[SEEN_BYTES - 1]}`));
    }
    return n;
  }
}

async function once(connection, frames) {
  connection.write(frames[0]);
  const answer = await receive(connection);
  if (answer[0] !== DATA_OK) throw new Error(`refused: ${JSON.stringify(answer)}`);
  await new Promise((resolve, reject) => {
    let left = frames.length;
    const counter = new AnswerCounter(reject);
    connection.onFault = reject;
    connection.handle((buffer, size) => {
      left -= counter.push(buffer, size);
      if (left === 0) resolve();
    });
    connection.write(Buffer.concat(frames));
  });
  return answer;
}

async function requests(meter, { port, window, connections = 1 }, prepare) {
  const all = [];
  for (let index = 0; index < connections; index += 1) {
    const connection = await openHaven(port);
    all.push(connection);
    const ring = new FrameRing(await prepare(connection, index));
    connection.onFault = (error) => meter.fail(error);
    const lane = meter.lane(window, (n) => ring.send(connection, n));
    const counter = new AnswerCounter((error) => meter.fail(error));
    connection.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      const now = performance.now();
      meter.received(n, now);
      lane.complete(n, now);
    });
  }
  return all;
}

const framesOf = (make) => Array.from({ length: KEYS }, (_, index) => make(index));

export function writes(meter, options) {
  return requests(meter, options, async (connection, index) => {
    const frames = framesOf(writeOf(`/bench/write/${index}`, options.payloadOf));
    await once(connection, frames);
    return frames;
  });
}

export function reads(meter, options) {
  return requests(meter, options, async (connection) => {
    const payload = options.payloadOf();
    await once(connection, framesOf(writeOf('/bench/read', () => payload)));
    const frames = framesOf(readOf('/bench/read'));
    const answer = await once(connection, frames);
    if (answer[2] !== payload.toString('latin1')) throw new Error(`read ${JSON.stringify(answer)}`);
    return frames;
  });
}

export async function fill({ port, records, payloadOf }) {
  const connection = await openHaven(port);
  const frameOf = (number) => writeFrame(storedPath(number), payloadOf());
  await storeAll(connection, records, (onOdd) => new AnswerCounter(onOdd), frameOf);
  connection.close();
}
