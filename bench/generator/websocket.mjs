// The little of RFC 6455 that a load generator needs: upgrade, masked text frames made ahead, counting of what comes back.

import { Connection } from './connection.mjs';

/** A fixed mask: the server unmasks as for any other, the generator need not mask anew. */
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** One masked client frame. */
export function clientFrame(text) {
  const body = Buffer.from(text);
  for (let index = 0; index < body.length; index += 1) body[index] ^= MASK[index & 3];
  const head =
    body.length < 126 ? Buffer.from([0x81, 0x80 | body.length]) : Buffer.from([0x81, 0xfe, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([head, MASK, body]);
}

export async function openWebSocket(port, path) {
  const connection = await Connection.open(port);
  connection.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YmVuY2gtZ2VuZXJhdG9yIQ==\r\n\r\n',
  );
  const answer = await connection.receive((bytes) => {
    const end = bytes.indexOf('\r\n\r\n');
    return end < 0 ? 0 : end + 4;
  });
  if (!answer.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(`no upgrade: ${answer.toString('latin1')}`);
  return connection;
}

/** Length of the server frame at the front and where its payload begins; null while incomplete. */
function measureFrame(bytes) {
  if (bytes.length < 2) return null;
  let size = bytes[1];
  let head = 2;
  if (size === 126) {
    if (bytes.length < 4) return null;
    size = bytes.readUInt16BE(2);
    head = 4;
  } else if (size === 127) {
    if (bytes.length < 10) return null;
    size = bytes.readUInt32BE(6);
    head = 10;
  }
  return bytes.length < head + size ? null : { head, length: head + size };
}

/** Next text message of the server that is not a control message of the socket layer. For the set-up only. */
export async function receiveText(connection) {
  for (;;) {
    const bytes = await connection.receive((front) => measureFrame(front)?.length ?? 0);
    const { head } = measureFrame(bytes);
    if ((bytes[0] & 0x0f) === 1 && bytes[head] !== 0x22) return bytes.toString('utf8', head);
  }
}

/**
 * Counts the server's messages in a stream, control messages aside. The last message that a chunk holds whole must
 * contain `wanted(index)`, where index counts messages from 0; what does not is told to `onOdd`.
 */
export class FrameCounter {
  #head = Buffer.alloc(11);
  #headSize = 0;
  #skip = 0;
  #wanted;
  #onOdd;
  #index = 0;
  /** Where the last whole message of the chunk lies; -1: none. */
  #lastStart = -1;
  #lastEnd = 0;
  #lastIndex = 0;

  constructor(wanted, onOdd) {
    this.#wanted = wanted;
    this.#onOdd = onOdd;
  }

  push(buffer, size) {
    const before = this.#index;
    this.#lastStart = -1;
    let at = 0;
    while (at < size) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, size - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      // The head and the first byte of the body (which tells control messages) are looked at together.
      this.#head[this.#headSize] = buffer[at];
      this.#headSize += 1;
      at += 1;
      const mark = this.#head[1];
      const need = (mark < 126 ? 2 : mark === 126 ? 4 : 10) + (mark === 0 ? 0 : 1);
      if (this.#headSize >= 2 && this.#headSize >= need) this.#message(mark, need, at, size);
    }
    if (this.#lastStart >= 0) this.#check(buffer);
    return this.#index - before;
  }

  #message(mark, need, at, size) {
    const length = mark < 126 ? mark : mark === 126 ? this.#head.readUInt16BE(2) : this.#head.readUInt32BE(6);
    this.#headSize = 0;
    this.#skip = Math.max(0, length - 1);
    if ((this.#head[0] & 0x0f) !== 1 || this.#head[need - 1] === 0x22) return;
    this.#index += 1;
    if (at + this.#skip > size) return;
    this.#lastIndex = this.#index - 1;
    this.#lastStart = at;
    this.#lastEnd = at + this.#skip;
  }

  #check(buffer) {
    const wanted = this.#wanted(this.#lastIndex);
    const found = buffer.indexOf(wanted, this.#lastStart);
    if (found >= 0 && found < this.#lastEnd) return;
    this.#onOdd(new Error(`no ${wanted} in ${buffer.toString('utf8', this.#lastStart, this.#lastEnd)}`));
  }
}
