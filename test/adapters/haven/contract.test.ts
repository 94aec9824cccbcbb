import { HAVEN_DEFAULTS, HavenAdapter } from '../../../src/adapters/haven/index.js';
import { type AdapterSubject, adapterContract } from '../../contract/adapter-contract.js';
import { HavenClient, pack, prefixed } from '../../support/haven-client.js';
import { HavenContractClient } from '../../support/haven-contract-client.js';

const deep = Buffer.concat([Buffer.alloc(500, 0x91), Buffer.from([0xc0])]);

const overTcp: AdapterSubject<HavenContractClient> = {
  name: 'haven',
  create: () => new HavenAdapter({ ...HAVEN_DEFAULTS, port: 0 }),
  connect: (at) => HavenContractClient.connect(at),
  connectAs: (at, username, password) => HavenContractClient.connectAs(at, username, password),
  refusals: {
    'another version': async (at) => {
      const client = await HavenClient.connect(at.port, { hello: false });
      client.send({ action: 'connect', version: '2' });
      await client.ended;
    },
    'a wrong magic': async (at) => {
      const client = await HavenClient.connect(at.port, { hello: false });
      client.send([0x01, 0xdeadbeef, 1]);
      await client.ended;
    },
  },
  malformed: [
    { what: 'a byte that MessagePack never uses', bytes: prefixed(Buffer.from([0xc1])), effect: 'ends' },
    { what: 'a message that is neither map nor array', bytes: prefixed(pack('hello')), effect: 'ends' },
    {
      what: 'a message with bytes behind it',
      bytes: prefixed(Buffer.concat([pack({ action: 'heartbeat' }), Buffer.from([0])])),
      effect: 'ends',
    },
    { what: 'a message that is cut off', bytes: prefixed(Buffer.from([0x82, 0xa1, 0x61])), effect: 'ends' },
    { what: 'nesting past the limit', bytes: prefixed(deep), effect: 'ends' },
    { what: 'a declared length of 256 MB', bytes: Buffer.from([0x10, 0, 0, 0]), effect: 'ends' },
    { what: 'an unknown extension', bytes: prefixed(Buffer.from([0x81, 0xa1, 0x61, 0xd4, 0x55, 0x00])), effect: 'ends' },
  ],
  strangers: [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0x10, 0x0c, 0x00, 0x04, 0x4d])],
  supports: {
    below: (prefix) => `${prefix}/*`,
    find: { by: (client, pattern) => client.find(pattern) },
    removeAll: { by: (client, pattern) => client.removeAll(pattern) },
    create: { by: (client, path, value) => client.create(path, value) },
    events: false,
    removals: 'each-record',
  },
};

adapterContract(overTcp);
adapterContract({
  ...overTcp,
  name: 'haven over websocket',
  connect: (at) => HavenContractClient.connectOverWebsocket(at),
  refusals: {},
  malformed: [
    { what: 'a byte that MessagePack never uses', bytes: Buffer.from([0xc1]), effect: 'ends' },
    {
      what: 'two messages in one frame',
      bytes: Buffer.concat([pack({ action: 'heartbeat' }), pack({ action: 'heartbeat' })]),
      effect: 'ends',
    },
    { what: 'nesting past the limit', bytes: deep, effect: 'ends' },
  ],
  strangers: [],
});
