// Peer: the least a server of durable Haven writes could do in Node. Unpacks each request, appends its bytes to one file, of which a
// write is on the disk when it is done, and answers then; what comes meanwhile is unpacked and waits for the next write. Keeps nothing
// in memory, and reads nothing again. Prints its port. Usage: node haven-log.mjs <folder>

import { closeSync, constants, openSync, write, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Packr } from 'msgpackr';

const HEAD_BYTES = 4;
const CONNECT = 0x01;
const DATA_OK = 0x14;
/** The file has its size from the beginning, and is written over: that costs the disk least. */
const FILE_BYTES = 8 * 1024 * 1024;

const packr = new Packr({ useRecords: false });
const file = join(process.argv[2], 'log');
const whole = openSync(file, 'w');
writeSync(whole, Buffer.alloc(FILE_BYTES));
closeSync(whole);
const log = openSync(file, constants.O_RDWR | constants.O_DSYNC);
let end = 0;
let revision = 0;
let isWriting = false;
/** Bytes of requests that are to be written, and the answers to them. */
let requests = [];
let answers = [];

const server = createServer({ noDelay: true }, (socket) => {
  let rest = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    const found = [];
    while (bytes.length - at >= HEAD_BYTES) {
      const next = at + HEAD_BYTES + bytes.readUInt32BE(at);
      if (next > bytes.length) break;
      found.push(answerTo(packr.unpack(bytes.subarray(at + HEAD_BYTES, next))));
      at = next;
    }
    rest = bytes.subarray(at);
    if (at === 0) return;
    requests.push(bytes.subarray(0, at));
    answers.push([socket, Buffer.concat(found)]);
    if (!isWriting) writeAll();
  });
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));

function answerTo([action]) {
  if (action === CONNECT) return frame([1, 0, 1]);
  const now = Date.now();
  revision += 1;
  return frame([DATA_OK, 0, { revision, created: now, modified: now }]);
}

function frame(value) {
  const body = packr.pack(value);
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

function writeAll() {
  isWriting = true;
  const record = requests.length === 1 ? requests[0] : Buffer.concat(requests);
  const due = answers;
  requests = [];
  answers = [];
  if (end + record.length > FILE_BYTES) end = 0;
  write(log, record, 0, record.length, end, (error, written) => {
    if (error !== null || written !== record.length) throw error ?? new Error('the disk takes no more');
    end += record.length;
    isWriting = false;
    if (requests.length > 0) writeAll();
    for (const [socket, bytes] of due) socket.write(bytes);
  });
}
