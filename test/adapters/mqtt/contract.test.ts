import { connect } from 'node:net';
import { MqttAdapter } from '../../../src/adapters/mqtt/index.js';
import { type AdapterSubject, adapterContract } from '../../contract/adapter-contract.js';
import type { Address } from '../../support/contract-house.js';
import { MqttContractClient } from '../../support/mqtt-contract-client.js';

/** Sends on a fresh connection and waits for its end. */
async function refused(at: Address, hex: string): Promise<void> {
  const socket = connect(at.port, at.host);
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.write(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  await new Promise((resolve) => socket.once('close', resolve));
}

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

const overTcp: AdapterSubject<MqttContractClient> = {
  name: 'mqtt',
  create: () => new MqttAdapter({ host: '127.0.0.1', port: 0 }),
  connect: (at) => MqttContractClient.connect(at),
  connectAs: (at, username, password) => MqttContractClient.connect(at, { username, password: Buffer.from(password) }),
  refusals: {
    'a protocol version that does not exist': (at) => refused(at, '10 0c 0004 4d515454 09 02 003c 0000'),
    'a kept session without a client id': (at) => refused(at, '10 0c 0004 4d515454 04 00 003c 0000'),
    'a first packet that is no CONNECT': (at) => refused(at, 'c0 00'),
  },
  malformed: [
    { what: 'a reserved packet type', bytes: bytes('00 00'), effect: 'ends' },
    { what: 'a second CONNECT', bytes: bytes('10 0c 0004 4d515454 04 02 003c 0000'), effect: 'ends' },
    { what: 'a topic with a wildcard', bytes: bytes('30 05 0003 612f23'), effect: 'ends' },
    { what: 'a topic that is no UTF-8', bytes: bytes('30 04 0002 61ff'), effect: 'ends' },
    { what: 'a topic with NUL', bytes: bytes('30 04 0002 6100'), effect: 'ends' },
    { what: 'QoS 3', bytes: bytes('36 05 0001 61 0001'), effect: 'ends' },
    { what: 'packet id 0', bytes: bytes('32 05 0001 61 0000'), effect: 'ends' },
    { what: 'SUBSCRIBE without filters', bytes: bytes('82 02 0001'), effect: 'ends' },
    { what: 'a filter with # in the middle', bytes: bytes('82 0a 0001 0005 612f232f62 00'), effect: 'ends' },
    { what: 'a length of five bytes', bytes: bytes('30 ff ff ff ff 01'), effect: 'ends' },
    { what: 'a declared length of 256 MB', bytes: bytes('30 ff ff ff 7f 0001 61'), effect: 'ends' },
    { what: 'an acknowledgement of nothing', bytes: bytes('40 02 0007'), effect: 'ignored' },
  ],
  strangers: [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('{"op":"hello","version":1}\n')],
  supports: {
    below: (prefix) => `${prefix}/#`,
    find: { refused: null },
    removeAll: { refused: (client) => client.remove('q/+') },
    create: { refused: null },
    events: true,
    removals: 'each-record',
  },
};

adapterContract(overTcp);
adapterContract({
  ...overTcp,
  name: 'mqtt over websocket',
  connect: (at) => MqttContractClient.connectOverWebsocket(at),
  refusals: {},
  strangers: [],
});
