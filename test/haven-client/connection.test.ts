// A client and its connections, against a gateway that is played: what counts as a sign of life, and what is tried again.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Packr } from 'msgpackr';
import { afterEach, expect, it } from 'vitest';
import { connect } from '../../src/haven-client/index.js';

const packr = new Packr({ useRecords: false });
const TIMEOUT_MS = 150;

interface Message {
  readonly action: string;
  readonly type?: string;
}

const GOOD: object = { result: true, session: 's', node: { uuid: 'u', name: 'n' }, heartbeat: TIMEOUT_MS };
const refusal = (code: number, name: string): object => ({ result: false, error: { code, name, message: 'said by the test' } });

let end = async (): Promise<void> => {};
afterEach(() => end());

function framed(message: object): Buffer {
  const body = packr.pack(message);
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32BE(body.length);
  frame.set(body, 4);
  return frame;
}

/** What `answer` returns is sent; it may write by itself. */
async function play(answer: (message: Message, socket: Socket) => object | null): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += 4 + chunk.readUInt32BE(at)) {
        const message = packr.unpack(chunk.subarray(at + 4, at + 4 + chunk.readUInt32BE(at))) as Message;
        const said = answer(message, socket);
        if (said !== null) socket.write(framed(said));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  end = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return (server.address() as AddressInfo).port;
}

const options = { timeoutMs: TIMEOUT_MS, heartbeatMs: TIMEOUT_MS };

it('an answer that is on its way for longer than a heartbeat may be unanswered comes whole', async () => {
  const value = 'x'.repeat(20_000);
  const port = await play(({ action }, socket) => {
    if (action === 'connect') return GOOD;
    if (action === 'heartbeat') return null;
    const bytes = framed({ result: true, value, revision: 1, created: 1, modified: 1 });
    let at = 0;
    const drip = setInterval(() => {
      socket.write(bytes.subarray(at, at + 500));
      at += 500;
      if (at >= bytes.length) clearInterval(drip);
    }, TIMEOUT_MS / 10);
    return null;
  });
  const client = await connect({ ...options, port, reconnect: false });
  expect((await client.read('/a'))?.value).toBe(value);
  await client.close();
});

it('a gateway that says nothing any more is lost', async () => {
  const port = await play(({ action }) => (action === 'connect' ? GOOD : null));
  const client = await connect({ ...options, port, reconnect: false });
  await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
  await client.close();
});

it('a gateway that cannot take a client back now is asked again; one that refuses it is not', async () => {
  const answers = [GOOD, refusal(13, 'INTERNAL'), refusal(12, 'TIMEOUT'), refusal(14, 'OVERLOADED'), GOOD, refusal(5, 'UNAUTHORIZED')];
  const port = await play(({ action }, socket) => {
    if (action === 'connect') return answers.shift() ?? GOOD;
    if (action === 'heartbeat') return { result: [], action: 'heartbeat', type: 'pong', state: {}, revision: 0 };
    socket.destroy();
    return null;
  });
  const client = await connect({ ...options, port, timeoutMs: 5_000 });
  await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
  await client.state();
  expect(answers).toHaveLength(1);
  await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
  await expect(client.state()).rejects.toMatchObject({ name: 'UNAUTHORIZED', code: 5 });
  await client.close();
});

it('a watch that cannot be begun again now is asked for again; one that is refused ends', async () => {
  const watches = [
    { result: true, watch: 1, revision: 0 },
    refusal(13, 'INTERNAL'),
    { result: true, watch: 2, revision: 0, missed: true },
    refusal(6, 'ACCESS_DENIED'),
  ];
  let asked = 0;
  const port = await play(({ action, type }, socket) => {
    if (action === 'connect') return GOOD;
    if (action === 'heartbeat') return { result: [], action: 'heartbeat', type: 'pong', state: {}, revision: 0 };
    if (type === 'watch') return watches[asked++] as object;
    socket.destroy();
    return null;
  });
  const client = await connect({ ...options, port, timeoutMs: 5_000 });
  const watch = await client.watch('/a');
  await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
  expect(await watch.next()).toMatchObject({ value: { type: 'resync', reason: 'reconnected' } });
  expect(asked).toBe(3);
  await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
  await expect(watch.next()).rejects.toMatchObject({ name: 'ACCESS_DENIED' });
  await client.close();
});
