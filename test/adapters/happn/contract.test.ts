import { HappnAdapter } from '../../../src/adapters/happn/index.js';
import { adapterContract } from '../../contract/adapter-contract.js';
import { HappnContractClient, textFrame } from '../../support/happn-contract-client.js';

const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;

adapterContract<HappnContractClient>({
  name: 'happn',
  create: () => new HappnAdapter(),
  connect: (at) => HappnContractClient.connect(at),
  connectAs: (at, username, password) => HappnContractClient.connect(at, 'happn_4', { username, password }),
  refusals: {
    'a protocol that is none of happn': async (at) => {
      const client = await HappnContractClient.open(at);
      client.raw(textFrame('{"action":"configure-session","eventId":1,"data":{"protocol":"other"}}'));
      await client.ended;
    },
    'a first frame that is too large': async (at) => {
      const client = await HappnContractClient.open(at);
      client.raw(textFrame(Buffer.alloc(100_000, 0x20)));
      await client.ended;
    },
  },
  malformed: [
    { what: 'a frame that is no JSON', bytes: textFrame('{"action":'), effect: 'ignored' },
    { what: 'null', bytes: textFrame('null'), effect: 'ignored' },
    { what: 'a list', bytes: textFrame('[1,2,3]'), effect: 'ignored' },
    { what: 'login with data null', bytes: textFrame('{"action":"login","eventId":1,"data":null}'), effect: 'ignored' },
    { what: 'an unknown action', bytes: textFrame('{"action":"__proto__","eventId":1}'), effect: 'ignored' },
    { what: 'a set without a path', bytes: textFrame('{"action":"set","eventId":1,"data":1}'), effect: 'ignored' },
    { what: 'a value nested too deep', bytes: textFrame(`{"action":"set","path":"a","eventId":1,"data":${deep}}`), effect: 'ignored' },
    { what: 'text that is no UTF-8', bytes: textFrame(Buffer.from([0x22, 0xff, 0x22])), effect: 'ends' },
    { what: 'a frame without a mask', bytes: Buffer.from([0x81, 0x02, 0x7b, 0x7d]), effect: 'ends' },
    { what: 'a reserved opcode', bytes: Buffer.from([0x83, 0x80, 0, 0, 0, 0]), effect: 'ends' },
    { what: 'a frame that declares 256 MB', bytes: Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]), effect: 'ends' },
  ],
  strangers: [
    Buffer.from([0x10, 0x0c, 0x00, 0x04, 0x4d, 0x51, 0x54, 0x54, 0x04, 0x02, 0x00, 0x3c, 0x00, 0x00]),
    Buffer.from('GET /elsewhere HTTP/1.0\r\n\r\n'),
  ],
  supports: {
    below: (prefix) => `${prefix}/**`,
    find: { by: (client, pattern) => client.find(pattern) },
    removeAll: { by: (client, pattern) => client.removeAll(pattern) },
    create: { refused: null },
    events: true,
    removals: 'each-request',
  },
});
