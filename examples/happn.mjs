// A first message over happn, without a client library: what goes over the wire is JSON in websocket messages.
// A real application uses a happn client (npm install happn-3), which does all of this itself.
//   node examples/happn.mjs [port]

import { WebSocket } from 'ws';

const port = process.argv[2] ?? 55000;
const socket = new WebSocket(`ws://127.0.0.1:${port}/primus`);
const requests = [
  { action: 'login', data: {} },
  { action: 'on', path: '/ALL@/demo/*', options: { depth: 5 } },
  { action: 'set', path: '/demo/greeting', data: { text: 'hello from happn' } },
  { action: 'get', path: '/demo/greeting' },
];

/** Sends the request with this number; false when there is none left. */
function ask(number) {
  const request = requests[number - 1];
  if (request !== undefined) socket.send(JSON.stringify({ eventId: number, ...request }));
  return request !== undefined;
}

socket.on('open', () => ask(1));
socket.on('message', (text) => {
  const message = JSON.parse(String(text));
  if (typeof message === 'string') return; // A heartbeat.
  const { type, eventId, status, action, path } = message._meta ?? {};
  if (type !== 'response') {
    console.log(`heard  ${action ?? path}: ${JSON.stringify(message.data)}`);
    return;
  }
  const asked = requests[eventId - 1];
  if (status !== 'ok') {
    console.error(`${asked.action.padEnd(6)} ${status}: ${message._meta.error.message}`);
    process.exitCode = 1;
    socket.close();
    return;
  }
  console.log(`${asked.action.padEnd(6)} ok${asked.action === 'login' ? '' : `: ${JSON.stringify(message.data)}`}`);
  if (!ask(eventId + 1)) socket.close();
});
socket.on('error', (error) => {
  console.error(`cannot talk to port ${port}: ${error.message || error.code}; is the gateway running?`);
  process.exitCode = 1;
});
