// Direct reads: what a listener of 'data' would get, in the same order, also around pauses.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { onBytes } from '../../../src/core/sockets/direct-reads.js';

let server: Server;
let near: Socket;
let far: Socket;

beforeEach(async () => {
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  [near] = (await once(server, 'connection')) as [Socket];
});

afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
});

/** Collects what comes; `until` resolves once it is so much. */
function collector(socket: Socket, onChunk: (chunk: Buffer) => void = () => {}) {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let resolve = (): void => {};
  onBytes(socket, (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    onChunk(chunk);
    if (bytes >= wanted) resolve();
  });
  return {
    text: () => Buffer.concat(chunks).toString(),
    until: (count: number): Promise<void> =>
      new Promise((done) => {
        wanted = count;
        resolve = done;
        if (bytes >= count) done();
      }),
  };
}

test('every byte comes, in order, in whatever pieces', async () => {
  const { until, text } = collector(near);
  const lines = Array.from({ length: 2_000 }, (_, index) => `line ${index}\n`);
  for (const line of lines) {
    far.write(line);
    if (line.endsWith('7\n')) await new Promise(setImmediate);
  }
  await until(lines.join('').length);
  expect(text()).toBe(lines.join(''));
});

test('a pause in the middle of a chunk lets nothing through until it is resumed, more than the stream queues included', async () => {
  let paused = 0;
  const { until, text } = collector(near, () => {
    near.pause();
    paused += 1;
    expect(near.isPaused()).toBe(true);
    setImmediate(() => near.resume());
  });
  const sent = Buffer.alloc(4 * 1024 * 1024, 'abcdefghijk');
  far.write(sent);
  await until(sent.length);
  expect(text()).toBe(sent.toString());
  expect(paused).toBeGreaterThan(1);
});

test('while it is paused nothing comes, and the peer is held back', async () => {
  const { until, text } = collector(near);
  far.write('first');
  await until(5);
  near.pause();
  const sent = Buffer.alloc(32 * 1024 * 1024, 'x');
  const isTaken = far.write(sent);
  expect(isTaken).toBe(false);
  // What the system and the stream take together is far less than what was written.
  await new Promise<void>((resolve) => {
    let left = far.writableLength;
    const look = (): void => {
      if (far.writableLength === left) return resolve();
      left = far.writableLength;
      setTimeout(look, 50);
    };
    setTimeout(look, 50);
  });
  expect(far.writableLength).toBeGreaterThan(0);
  expect(text()).toBe('first');
  near.resume();
  await until(5 + sent.length);
  expect(text().length).toBe(5 + sent.length);
});

test('a chunk may be kept: what is read later, on other sockets too, does not change it', async () => {
  const chunks: Buffer[] = [];
  const { until } = collector(near, (chunk) => chunks.push(chunk));
  const otherFar = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [otherNear] = (await once(server, 'connection')) as [Socket];
  const other = collector(otherNear);
  const texts = Array.from({ length: 50 }, (_, n) => String(n).padStart(1 + (n % 7), '.'));
  let bytes = 0;
  for (const text of texts) {
    far.write(text);
    bytes += text.length;
    await until(bytes);
    otherFar.write('#'.repeat(text.length));
    await other.until(bytes);
  }
  expect(chunks.map(String)).toEqual(texts);
  otherNear.destroy();
  otherFar.destroy();
});

test('a small read costs no memory of its own', async () => {
  const chunks: Buffer[] = [];
  const { until } = collector(near, (chunk) => chunks.push(chunk));
  far.write('small');
  await until(5);
  // As Node makes small copies.
  expect(chunks[0]?.buffer.byteLength).toBe(Buffer.poolSize);
});

test('what was put back comes first', async () => {
  far.write('before-behind');
  const [chunk] = (await once(near, 'data')) as [Buffer];
  near.pause();
  near.unshift(chunk);
  const { until, text } = collector(near);
  near.resume();
  await until(13);
  far.write('-later');
  await until(19);
  expect(text()).toBe('before-behind-later');
});

test('the end and a destruction from within are told as ever', async () => {
  const { until } = collector(near, (chunk) => {
    if (chunk.includes('die')) near.destroy();
  });
  far.write('live');
  await until(4);
  far.write('die');
  await once(near, 'close');
  expect(near.destroyed).toBe(true);
});

test('the end of the peer is told behind its last bytes', async () => {
  const { text } = collector(near);
  far.end('last words');
  await once(near, 'end');
  expect(text()).toBe('last words');
});
