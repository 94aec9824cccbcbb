// Redis commands, for a familiar yardstick beside the Haven loads: SET and GET pipelined with the same window.

import { Connection, FrameRing, SizeCounter } from './connection.mjs';

const KEYS = 1024;

const command = (...words) =>
  Buffer.from(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`, 'latin1');

const setOf = (prefix, payloadOf) => (index) => command('SET', `${prefix}/${1000 + index}`, payloadOf().toString('latin1'));

async function requests(meter, { port, window, connections = 1 }, make, answerSize) {
  const all = [];
  for (let index = 0; index < connections; index += 1) {
    const connection = await Connection.open(port);
    all.push(connection);
    const ring = new FrameRing(Array.from({ length: KEYS }, (_, key) => make(index)(key)));
    connection.onFault = (error) => meter.fail(error);
    const lane = meter.lane(window, (n) => ring.send(connection, n));
    const counter = new SizeCounter(answerSize);
    connection.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      const now = performance.now();
      meter.received(n, now);
      lane.complete(n, now);
    });
  }
  return all;
}

export function writes(meter, options) {
  return requests(meter, options, (index) => setOf(`/bench/write/${index}`, options.payloadOf), '+OK\r\n'.length);
}

export async function reads(meter, options) {
  const filler = await Connection.open(options.port);
  filler.write(Buffer.concat(Array.from({ length: KEYS }, (_, key) => setOf('/bench/read', options.payloadOf)(key))));
  await filler.receive((bytes) => (bytes.length >= KEYS * 5 ? bytes.length : 0));
  filler.close();
  const size = `$${options.payloadBytes}\r\n`.length + options.payloadBytes + 2;
  return requests(meter, options, () => (key) => command('GET', `/bench/read/${1000 + key}`), size);
}
