// A first message over Haven: MessagePack maps over TCP, each behind its length in four bytes.
//   node examples/haven.mjs [port]

import { connect } from 'node:net';
import { pack, unpack } from 'msgpackr';

const port = Number(process.argv[2] ?? 7854);
const socket = connect(port, '127.0.0.1');
const requests = [
  { action: 'connect', version: '1' },
  { action: 'query', type: 'write', path: '/demo/greeting', value: { text: 'hello from Haven' } },
  { action: 'query', type: 'read', path: '/demo/greeting' },
  { action: 'query', type: 'read', path: '/demo/*' },
];

let received = Buffer.alloc(0);
let answered = 0;

function ask() {
  const body = pack(requests[answered]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  socket.write(Buffer.concat([head, body]));
}

socket.on('connect', ask);
socket.on('data', (bytes) => {
  received = Buffer.concat([received, bytes]);
  while (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
    const end = 4 + received.readUInt32BE();
    const { action, type } = requests[answered];
    const answer = unpack(received.subarray(4, end));
    console.log(`${(type ?? action).padEnd(7)} ${JSON.stringify(answer)}`);
    received = received.subarray(end);
    answered += 1;
    if (!answer.result) process.exitCode = 1;
    if (!answer.result || answered === requests.length) socket.end();
    else ask();
  }
});
socket.on('error', (error) => {
  console.error(`cannot talk to port ${port}: ${error.message || error.code}; is the gateway running?`);
  process.exitCode = 1;
});
