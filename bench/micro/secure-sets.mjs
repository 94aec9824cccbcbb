// What a set costs the whole gateway with security off and on, for a user of 100 groups with 50 permissions each: processor time of
// two gateways that take turns, happn sets and MQTT publications of QoS 1 to 1,000 paths, 64 at a time.
// Usage: npm run build && node bench/micro/secure-sets.mjs [rounds]

import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import mqttPacket from 'mqtt-packet';
import { WebSocket } from 'ws';
import { makeFolder, removeFolder } from '../lib/folders.mjs';
import { cpuSeconds, start, stop, until } from '../lib/processes.mjs';
import { ROOT } from '../lib/servers.mjs';

const ROUNDS = Number(process.argv[2] ?? 9);
const GROUPS = 100;
const PERMISSIONS = 50;
const PATHS = 1_000;
const SETS = 60_000;
const WINDOW = 64;
const PASSWORD = 'a password for the bench';

const pathOf = (n) => `/plant/${n % GROUPS}/line/${n % PERMISSIONS}/sensor/${n % PATHS}`;
const BODY = '{"temperature":21.5,"unit":"C"}';

function settings() {
  const groups = Array.from({ length: GROUPS }, (_, g) => ({
    name: `group-${g}`,
    permissions: Object.fromEntries(
      Array.from({ length: PERMISSIONS }, (_, p) => [`/plant/${g}/line/${p}/*`, { actions: ['set', 'get', 'on'] }]),
    ),
  }));
  return { security: { groups, users: [{ name: 'ann', password: PASSWORD, groups: groups.map(({ name }) => name) }] } };
}

async function gateway(secure) {
  const dir = makeFolder();
  const [readyFile, config] = [join(dir, 'ready.json'), join(dir, 'config.json')];
  writeFileSync(config, JSON.stringify(settings()));
  const args = ['serve', '--host', '127.0.0.1', '--data-dir', join(dir, 'data'), '--durability', 'none', '--log-level', 'error'];
  const ports = ['--happn-port', '0', '--mqtt-port', '0', '--haven-port', '0', '--admin-port', '0', '--ready-file', readyFile];
  const security = secure ? ['--secure', '--admin-password', PASSWORD, '--config', config] : [];
  const child = start(process.execPath, [join(ROOT, 'dist', 'main.js'), ...args, ...ports, ...security]);
  await until(child, () => existsSync(readyFile));
  const { ports: found } = JSON.parse(readFileSync(readyFile, 'utf8'));
  const credentials = secure ? { username: 'ann', password: PASSWORD } : {};
  const loads = { happn: await happn(found.happn, credentials), mqtt: await mqtt(found.mqtt, credentials) };
  const end = async () => {
    for (const load of Object.values(loads)) load.end();
    await stop(child);
    removeFolder(dir);
  };
  return { child, loads, end };
}

/** Keeps WINDOW requests on their way: `send` sends one, `onAnswer` is to be called for each answer. */
function windowed(send) {
  let sent = 0;
  let answered = 0;
  let wanted = 0;
  let done = () => {};
  return {
    onAnswer() {
      answered += 1;
      if (sent < wanted) send(sent++);
      else if (answered === wanted) done();
    },
    run: () =>
      new Promise((resolve) => {
        done = resolve;
        wanted = sent + SETS;
        for (let n = 0; n < WINDOW; n++) send(sent++);
      }),
  };
}

async function happn(port, credentials) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/primus`);
  await once(socket, 'open');
  const load = windowed((n) => socket.send(`{"action":"set","eventId":${n + 10},"path":"${pathOf(n)}","data":${BODY},"options":{}}`));
  const ask = async (frame) => {
    socket.send(JSON.stringify(frame));
    for (;;) {
      const [data] = await once(socket, 'message');
      if (!data.toString().includes('"response"')) continue;
      if (!data.toString().includes('"status":"ok"')) throw new Error(data.toString());
      return;
    }
  };
  await ask({ action: 'configure-session', eventId: 1, data: { protocol: 'happn_4', version: '13.12.1', browser: false } });
  await ask({ action: 'login', eventId: 2, data: { info: {}, ...credentials } });
  socket.on('message', (data) => {
    if (data.includes('"status":"error"')) throw new Error(data.toString());
    if (data.includes('"response"')) load.onAnswer();
  });
  return { run: load.run, end: () => socket.terminate() };
}

async function mqtt(port, { username, password }) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const write = (packet) => socket.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
  const load = windowed((n) =>
    write({ cmd: 'publish', topic: pathOf(n), payload: BODY, qos: 1, retain: false, dup: false, messageId: 1 + (n % 60_000) }),
  );
  const accepted = new Promise((resolve, reject) => {
    parser.on('packet', ({ cmd, reasonCode }) => {
      // 16: nobody subscribes.
      if (reasonCode !== undefined && reasonCode !== 0 && reasonCode !== 16) reject(new Error(`${cmd} ${reasonCode}`));
      else if (cmd === 'connack') resolve();
      else if (cmd === 'puback') load.onAnswer();
    });
  });
  socket.on('data', (chunk) => parser.parse(chunk));
  const login = username === undefined ? {} : { username, password: Buffer.from(password) };
  write({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'bench', keepalive: 0, ...login });
  await accepted;
  return { run: load.run, end: () => socket.destroy() };
}

async function costOf({ child, loads }, name) {
  const before = cpuSeconds(child.pid);
  await loads[name].run();
  return ((cpuSeconds(child.pid) - before) * 1e6) / SETS;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const [open, secure] = [await gateway(false), await gateway(true)];
try {
  for (const name of ['happn', 'mqtt']) {
    const costs = { off: [], on: [] };
    for (let round = -2; round < ROUNDS; round++) {
      const off = await costOf(open, name);
      const on = await costOf(secure, name);
      if (round < 0) continue;
      costs.off.push(off);
      costs.on.push(on);
    }
    const [off, on] = [median(costs.off), median(costs.on)];
    console.log(`${name}: off ${off.toFixed(1)} µs, on ${on.toFixed(1)} µs of CPU a set: ${((on / off - 1) * 100).toFixed(1)} % more`);
  }
} finally {
  await Promise.all([open.end(), secure.end()]);
}
