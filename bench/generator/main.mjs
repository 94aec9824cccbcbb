// The load generator's process: does the runner's commands and answers each with its result.

import { randomBytes } from 'node:crypto';
import * as happn from './happn.mjs';
import * as haven from './haven.mjs';
import { watchPush } from './haven-watch.mjs';
import { Meter } from './meter.mjs';
import * as mqtt from './mqtt.mjs';
import { Bystanders, Crowd } from './mqtt-crowd.mjs';
import { openMqtt, VERSION_5 } from './mqtt-wire.mjs';
import * as redis from './redis.mjs';

const LOADS = {
  'happn-set': happn.sets,
  'happn-get': happn.gets,
  'happn-get-group': happn.groupGets,
  'happn-get-name': happn.nameGets,
  'happn-fan-out': happn.fanOut,
  'mqtt-fan-out': mqtt.fanOut,
  'mqtt-fan-in': mqtt.fanIn,
  'mqtt-at-least-once': mqtt.atLeastOnce,
  'mqtt-retained': mqtt.retained,
  'haven-write': haven.writes,
  'haven-read': haven.reads,
  'haven-watch-push': watchPush,
  'redis-write': redis.writes,
  'redis-read': redis.reads,
};

const IDLE = {
  mqtt: (port) => openMqtt(port, { keepAlive: 600 }),
  mqtt5: (port) => openMqtt(port, { keepAlive: 600, version: VERSION_5 }),
  happn: async (port) => (await happn.openHappn(port)).connection,
  haven: haven.openHaven,
};

const FILL = { happn: happn.fill, haven: haven.fill };

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

/** @type {Crowd | null} */
let crowd = null;
/** @type {Bystanders | null} */
let bystanders = null;

async function gather(options) {
  crowd = new Crowd(options);
  await crowd.gather();
}

async function beginBeside({ port, pairs, everyMs, payloadBytes }) {
  bystanders = new Bystanders({ everyMs, payloadOf: payloadsOf(payloadBytes) });
  await bystanders.begin({ port, pairs });
}

const COMMANDS = {
  drive,
  openIdle,
  countIdle,
  closeIdle,
  fill: (options) => FILL[options.protocol]({ ...options, payloadOf: payloadsOf(options.payloadBytes) }),
  gather,
  scatter: () => crowd.scatter(),
  comeBack: () => crowd.comeBack(),
  beginBeside,
  endBeside: () => bystanders.end(),
};

process.on('message', async ({ id, command, argument }) => {
  try {
    process.send({ id, result: (await COMMANDS[command](argument)) ?? null });
  } catch (error) {
    process.send({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
