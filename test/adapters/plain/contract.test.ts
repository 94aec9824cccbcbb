import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { adapterContract } from '../../contract/adapter-contract.js';
import { PlainAdapter } from '../../support/plain-adapter/index.js';
import { PlainClient } from '../../support/plain-client.js';

adapterContract<PlainClient>({
  name: 'plain',
  create: () => new PlainAdapter(),
  connect: (at) => PlainClient.connect(at),
  connectAs: (at, username, password) => PlainClient.connect(at, 1, { username, password }),
  refusals: {
    'another version': async (at) => {
      const socket = connect(at.port, at.host);
      socket.end('{"op":"hello","version":2}\n').resume();
      await once(socket, 'close');
    },
    'a second hello': async (at) => {
      const client = await PlainClient.connect(at);
      client.raw(Buffer.from('{"op":"hello","version":1}\n'));
      await client.ended;
    },
  },
  malformed: [
    { what: 'a line that is no JSON', bytes: Buffer.from('{"op":\n'), effect: 'ends' },
    { what: 'a line that is no object', bytes: Buffer.from('null\n'), effect: 'ends' },
    { what: 'a line that is no UTF-8', bytes: Buffer.from([0x22, 0xff, 0x22, 0x0a]), effect: 'ends' },
    { what: 'a line without end', bytes: Buffer.alloc(2 * 1024 * 1024, 0x20), effect: 'ends' },
    { what: 'an unknown operation', bytes: Buffer.from('{"id":"x","op":"fly"}\n'), effect: 'ignored' },
    { what: 'a path that is none', bytes: Buffer.from('{"id":"x","op":"set","path":{},"value":1}\n'), effect: 'ignored' },
    {
      what: 'a value nested too deep',
      bytes: Buffer.from(`{"id":"x","op":"set","path":"a","value":${'['.repeat(9_000)}${']'.repeat(9_000)}}\n`),
      effect: 'ignored',
    },
  ],
  strangers: [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0x10, 0x0c, 0x00, 0x04, 0x0a])],
  supports: {
    below: (prefix) => `${prefix}/*`,
    find: { by: (client, pattern) => client.find(pattern) },
    removeAll: { by: (client, pattern) => client.removeAll(pattern) },
    create: { by: (client, path, value) => client.set(path, value, { create: true }) },
    events: true,
    removals: 'each-record',
  },
});

it('plain is made of the core’s public face alone', () => {
  const folder = new URL('../../support/plain-adapter/', import.meta.url);
  const sources = readdirSync(folder).map((file) => readFileSync(new URL(file, folder), 'utf8'));
  const imported = new Set(sources.flatMap((source) => [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1])));
  const others = [...imported].filter((name) => !name?.startsWith('node:') && !name?.startsWith('./'));
  expect(others).toEqual(['../../../src/core/index.js']);
});
