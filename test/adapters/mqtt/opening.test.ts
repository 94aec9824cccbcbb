import { describe, expect, it } from 'vitest';
import { readOpening } from '../../../src/adapters/mqtt/opening.js';
import { encode } from '../../support/mqtt-wire.js';

const MAX_BYTES = 64 * 1024;
const connect = (protocolId: string, protocolVersion: number): Buffer =>
  encode({ cmd: 'connect', protocolId, protocolVersion, clean: true, clientId: 'c', keepalive: 10 });

/** A CONNECT with this name and level, of which everything else may be wrong. */
function opening(name: string, level: number, first = 0x10): Buffer {
  return Buffer.concat([Buffer.of(first, name.length + 3 + 6, 0, name.length), Buffer.from(name), Buffer.of(level)]);
}

describe('the first bytes of a connection', () => {
  it('say which version its client speaks', () => {
    expect(readOpening(connect('MQTT', 4), MAX_BYTES)).toEqual({ version: 4 });
    expect(readOpening(connect('MQIsdp', 3), MAX_BYTES)).toEqual({ version: 3 });
  });

  it.each([
    ['MQTT', connect('MQTT', 4), 9],
    ['MQIsdp', connect('MQIsdp', 3), 11],
    ['a longer packet', Buffer.concat([Buffer.of(0x10, 0x80, 0x80, 0x01), connect('MQTT', 4).subarray(2)]), 11],
  ])('are enough as soon as the level of %s is among them', (_what, bytes, enough) => {
    for (let length = 0; length < enough; length++) expect(readOpening(bytes.subarray(0, length), MAX_BYTES)).toBeNull();
    expect(readOpening(bytes.subarray(0, enough), MAX_BYTES)).toMatchObject({ version: expect.any(Number) });
  });

  it.each([
    ['another first packet', 'c000', 'MALFORMED_FRAME'],
    ['another first byte alone', '47', 'MALFORMED_FRAME'],
    ['a remaining length of five bytes', '1080808080', 'MALFORMED_FRAME'],
    ['an empty packet', '1000', 'MALFORMED_FRAME'],
    ['a name without level', '100600044d515454', 'MALFORMED_FRAME'],
    ['a level behind the end of the packet', '100800064d514973647003', 'MALFORMED_FRAME'],
    ['a name of another length', '100c0003', 'MALFORMED_FRAME'],
    ['another name', '100d00044d51545504', 'MALFORMED_FRAME'],
    ['another name as long as the old one', '100f00064d514973647103', 'MALFORMED_FRAME'],
    ['more bytes than a CONNECT may have', '10818004', 'FRAME_TOO_LARGE'],
    ['flags in the first byte', '1f0d00044d51545404', 'MALFORMED_FRAME'],
  ])('with %s end it', (_what, hex, code) => {
    expect(() => readOpening(Buffer.from(hex, 'hex'), MAX_BYTES)).toThrow(expect.objectContaining({ code }));
  });

  it('may have flags in 3.1', () => {
    expect(readOpening(opening('MQIsdp', 3, 0x1f), MAX_BYTES)).toEqual({ version: 3 });
  });

  it.each([
    ['MQIsdp', 5],
    ['MQTT', 3],
    ['MQIsdp', 4],
    ['MQTT', 0x84],
    ['MQIsdp', 0x83],
  ])('of %s level %i get return code 1, which their clients know', (name, level) => {
    expect(readOpening(opening(name, level), MAX_BYTES)).toMatchObject({ version: null, answer: Buffer.of(0x20, 2, 0, 1) });
  });

  it.each([
    ['MQTT', 2],
    ['MQTT', 6],
    ['MQIsdp', 2],
    ['MQIsdp', 6],
    ['MQTT', 0],
  ])('of %s level %i get reason code 0x84 of version 5', (name, level) => {
    expect(readOpening(opening(name, level), MAX_BYTES)).toMatchObject({ version: null, answer: Buffer.of(0x20, 3, 0, 0x84, 0) });
  });
});
