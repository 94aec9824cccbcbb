// What an operator is told about connections that the gateway ends before they are sessions.

import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type HouseOptions, MqttHouse, MqttWire } from '../../support/mqtt-wire.js';

let house: MqttHouse;
afterEach(() => house.stop());

const start = async (options: HouseOptions = {}): Promise<void> => {
  house = await MqttHouse.start(options);
};

const told = (): string[] => house.lines.filter(({ level }) => level === 'info' || level === 'warn').map(({ text }) => text);

describe('the log tells of a connection that ends before its CONNECT', () => {
  it.each([
    ['TLS on the port without', '1603010200010001fc0303', 'it begins with TLS, which this port does not speak'],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n').toString('hex'), 'the first packet is not a CONNECT'],
    ['another name of the protocol', '100d00044d51545504', 'unknown protocol name'],
    ['a level that is not spoken', '100c00044d5154540602003c0000', 'protocol level 6 of MQTT'],
  ])('%s', async (_what, hex, text) => {
    await start();
    const wire = await MqttWire.open(house.port, 4);
    wire.bytes(Buffer.from(hex, 'hex'));
    await wire.closed();
    expect(told()).toEqual([`a connection ended before its CONNECT: ${text}`]);
    expect(house.lines.at(-1)?.fields).toMatchObject({ peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
  });

  it('with the address of one that is too much', async () => {
    await start({ limits: { maxConnections: 1 } });
    await MqttWire.connected(house.port, 'a');
    const more = connect(house.port, '127.0.0.1');
    await new Promise<void>((resolve) => {
      more.on('error', () => more.destroy());
      more.on('close', () => resolve());
    });
    expect(told()).toEqual(['refusing MQTT connections: there are too many']);
    expect(house.lines.at(-1)?.fields).toMatchObject({ peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
  });

  it('and says nothing of those that a stop ends', async () => {
    await start();
    await MqttWire.open(house.port, 4);
    await MqttWire.connected(house.port, 'a');
    await house.stop();
    expect(told()).toEqual([]);
  });
});
