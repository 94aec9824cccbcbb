// The load generator's process: does one command of the runner at a time and answers with its result.

import { randomBytes } from 'node:crypto';
import * as happn from './happn.mjs';
import * as haven from './haven.mjs';
import { Meter } from './meter.mjs';
import * as mqtt from './mqtt.mjs';
import * as redis from './redis.mjs';

const LOADS = {
  'happn-set': happn.sets,
  'happn-get': happn.gets,
  'happn-fan-out': happn.fanOut,
  'mqtt-fan-out': mqtt.fanOut,
  'mqtt-fan-in': mqtt.fanIn,
  'mqtt-at-least-once': mqtt.atLeastOnce,
  'mqtt-retained': mqtt.retained,
  'haven-write': haven.writes,
  'haven-read': haven.reads,
  'redis-write': redis.writes,
  'redis-read': redis.reads,
};

const IDLE = {
  mqtt: (port) => mqtt.openMqtt(port, { keepAlive: 600 }),
  happn: async (port) => (await happn.openHappn(port)).connection,
  haven: haven.openHaven,
};

/** Connections opened at the same time. */
const OPENING = 64;

/** @type {import('./connection.mjs').Connection[]} */
let idle = [];
/** Idle connections that the server ended. */
let lost = 0;

/** Random letters: text in every protocol, the same in JSON as plain. */
const payloadsOf = (bytes) => () => Buffer.from(randomBytes(bytes).toString('base64url').slice(0, bytes), 'latin1');

async function drive({ load, options, meter: settings }) {
  const meter = new Meter(settings);
  const connections = await LOADS[load](meter, { ...options, payloadOf: payloadsOf(options.payloadBytes) });
  try {
    return await meter.run();
  } finally {
    for (const connection of connections) connection.close();
  }
}

async function openIdle({ protocol, port, count }) {
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      const connection = await IDLE[protocol](port);
      connection.onFault = () => {
        lost += 1;
      };
      // What a server says unasked (heartbeats) is of no interest.
      connection.handle(() => {});
      idle.push(connection);
    }
  };
  await Promise.all(Array.from({ length: OPENING }, worker));
}

const countIdle = () => idle.length - lost;

function closeIdle() {
  for (const connection of idle) connection.close();
  idle = [];
  lost = 0;
}

const COMMANDS = {
  drive,
  openIdle,
  countIdle,
  closeIdle,
  fill: (options) => haven.fill({ ...options, payloadOf: payloadsOf(options.payloadBytes) }),
};

process.on('message', async ({ id, command, argument }) => {
  try {
    process.send({ id, result: (await COMMANDS[command](argument)) ?? null });
  } catch (error) {
    process.send({ id, error: error.stack });
  }
});
process.on('disconnect', () => process.exit());
