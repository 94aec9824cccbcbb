import { describe, expect, it } from 'vitest';
import { WireMeta } from '../../../../src/adapters/mqtt/v5/meta.js';
import {
  encodePublish,
  NO_TOPIC_HEAD,
  type PublishProperties,
  PublishReader,
  remainingSeconds,
} from '../../../../src/adapters/mqtt/v5/publish.js';
import { Meta } from '../../../../src/core/index.js';
import { bytesOf } from '../../../support/mqtt-vectors.js';
import { packetOf, readPacket } from '../../../support/mqtt5-read.js';

const HEAD = bytesOf("s5 'topic'");
const NOTHING: PublishProperties = { topicAlias: 0, expirySeconds: null, identifiers: [], meta: null };
const MESSAGE = new Meta('c', 'r', Uint8Array.of(1, 2), true, [
  ['b', 'x'],
  ['a', 'y'],
  ['b', 'x'],
  ['', ''],
]);
const MESSAGE_WORDS = "01 01 03 s1 'c' 08 s1 'r' 09 s2 0102 26 s1 'b' s1 'x' 26 s1 'a' s1 'y' 26 s1 'b' s1 'x' 26 s0 s0";

/** Reads one packet with a reader that may have read others. */
function read(reader: PublishReader, packet: Buffer): PublishReader & { payload: string } {
  const body = 1 + [0x80, 0x4000, 0x20_0000].filter((limit) => packet.length > limit).length + 1;
  reader.read(packet[0] as number, packet, body, packet.length);
  return Object.assign(Object.create(reader), { payload: packet.toString('utf8', reader.payloadStart) });
}

describe('reading', () => {
  it('says what the packet says', () => {
    const words = "02 L60 23 H7 03 s1 'c' 08 s1 'r' 09 s2 0102 01 01 26 s1 'b' s1 'x' 26 s1 'a' s1 'y' 26 s1 'b' s1 'x'";
    const found = readPacket<PublishReader>(packetOf(0x3d, `s5 'topic' m258 v${bytesOf(words).length} ${words} 'payload'`));
    expect(found).toMatchObject({
      qos: 2,
      retain: true,
      dup: true,
      packetId: 258,
      topic: 'topic',
      topicAlias: 7,
      expirySeconds: 60,
      payload: Buffer.from('payload'),
    });
    expect(found.meta).toBeInstanceOf(Meta);
    expect(found.meta).toMatchObject({ contentType: 'c', responseTopic: 'r', correlationData: Uint8Array.of(1, 2), isText: true });
  });

  it('[MQTT5-3.3.2-18] keeps user properties in order, repeated ones too', () => {
    const words = "26 s1 'b' s1 'x' 26 s1 'a' s1 'y' 26 s1 'b' s1 'x' 26 s9 '__proto__' s0 26 s0 s0";
    expect(readPacket<PublishReader>(packetOf(0x30, `s1 't' v${bytesOf(words).length} ${words}`)).meta?.pairs).toEqual([
      ['b', 'x'],
      ['a', 'y'],
      ['b', 'x'],
      ['__proto__', ''],
      ['', ''],
    ]);
  });

  it('says nothing about a payload that nothing is said about', () => {
    for (const words of ['', '23 H1', '02 L1', '01 00']) {
      expect(readPacket<PublishReader>(packetOf(0x30, `s1 't' v${bytesOf(words).length} ${words}`)).meta).toBeNull();
    }
  });

  it('keeps empty texts and data apart from none', () => {
    expect(readPacket<PublishReader>(packetOf(0x30, "s1 't' v6 03 s0 09 s0")).meta).toMatchObject({
      contentType: '',
      correlationData: new Uint8Array(0),
      responseTopic: null,
    });
  });

  it('forgets what the packet before said', () => {
    const reader = new PublishReader();
    read(reader, packetOf(0x33, "s1 't' m9 v12 02 L60 23 H7 03 s1 'c' 'x'"));
    expect(read(reader, packetOf(0x30, "s1 't' v0 'yz'"))).toMatchObject({
      qos: 0,
      retain: false,
      packetId: 0,
      topic: 't',
      topicAlias: 0,
      expirySeconds: null,
      meta: null,
      payload: 'yz',
    });
  });

  it('tells topics of the same length apart, and knows the last one again behind an alias', () => {
    const reader = new PublishReader();
    expect(read(reader, packetOf(0x30, "s2 't1' v0")).topic).toBe('t1');
    expect(read(reader, packetOf(0x30, "s2 't2' v0")).topic).toBe('t2');
    expect(read(reader, packetOf(0x30, 's0 v3 23 H1'))).toMatchObject({ topic: '', topicAlias: 1 });
    expect(read(reader, packetOf(0x30, "s2 't2' v0")).topic).toBe('t2');
  });

  it('keeps nothing of the packet but its payload', () => {
    const packet = packetOf(0x30, "s5 'topic' v5 09 s2 0102 'x'");
    const reader = new PublishReader();
    read(reader, packet);
    packet.fill(0);
    expect(reader.meta?.correlationData).toEqual(Uint8Array.of(1, 2));
    expect(read(reader, packetOf(0x30, "s5 'topic' v0")).topic).toBe('topic');
  });

  it('refuses a bad topic also behind a good one', () => {
    const reader = new PublishReader();
    read(reader, packetOf(0x30, "s2 'ab' v0"));
    expect(() => read(reader, packetOf(0x30, "s2 'a#' v0"))).toThrow();
    expect(read(reader, packetOf(0x30, "s2 'ab' v0")).topic).toBe('ab');
  });
});

describe('writing', () => {
  const written = (properties: PublishProperties | null, flags = 0, packetId = 0, head: Uint8Array = HEAD): string =>
    encodePublish(head, Buffer.from('payload'), flags, packetId, properties).toString('hex');
  const expected = (first: number, body: string): string => packetOf(first, body).toString('hex');

  it('[MQTT5-2.2.2-1] writes a property length of 0 where there is nothing to say', () => {
    expect(written(null)).toBe(expected(0x30, "s5 'topic' v0 'payload'"));
    expect(written(NOTHING)).toBe(expected(0x30, "s5 'topic' v0 'payload'"));
    expect(written(null, 0x0d, 258)).toBe(expected(0x3d, "s5 'topic' m258 v0 'payload'"));
  });

  it('writes each property', () => {
    const meta = new WireMeta(MESSAGE);
    const properties = { topicAlias: 258, expirySeconds: 60, identifiers: [1, 128, 268_435_455], meta };
    const words = `23 0102 02 L60 0B 01 0B 8001 0B FFFFFF7F ${MESSAGE_WORDS}`;
    expect(written(properties, 0x03, 9)).toBe(expected(0x33, `s5 'topic' m9 v${bytesOf(words).length} ${words} 'payload'`));
  });

  it('writes an alias instead of a topic', () => {
    expect(written({ ...NOTHING, topicAlias: 1 }, 0, 0, NO_TOPIC_HEAD)).toBe(expected(0x30, "s0 v3 23 H1 'payload'"));
  });

  it('writes an expiry interval of 0 and the longest one', () => {
    expect(written({ ...NOTHING, expirySeconds: 0 })).toBe(expected(0x30, "s5 'topic' v5 02 L0 'payload'"));
    expect(written({ ...NOTHING, expirySeconds: 0xffff_ffff })).toBe(expected(0x30, "s5 'topic' v5 02 FFFFFFFF 'payload'"));
  });

  it.each([0, 1, 115, 116, 117, 118, 119, 120, 16_372, 16_373, 16_374, 16_375, 16_376, 16_377, 2_097_140, 2_097_144])(
    'a payload of %i bytes has the right length before it',
    (size) => {
      const frame = encodePublish(HEAD, Buffer.alloc(size, 1), 0, 0, null);
      expect(readPacket<{ payload: Buffer }>(frame).payload).toHaveLength(size);
      expect(frame).toHaveLength(packetOf(0x30, "s5 'topic' v0").length - 1 + lengthBytes(size + 8) + size);
    },
  );

  it.each([119, 120, 121, 122, 123, 124, 16_375, 16_376, 16_377, 16_378, 16_379, 16_380, 60_000])(
    'a content type of %i bytes has the right lengths before it',
    (size) => {
      const meta = new WireMeta(new Meta('c'.repeat(size), null, null, false, []));
      const frame = encodePublish(HEAD, Buffer.from('payload'), 0, 0, { ...NOTHING, meta });
      expect(readPacket<PublishReader & { payload: Buffer }>(frame)).toMatchObject({ payload: Buffer.from('payload') });
      expect(readPacket<PublishReader>(frame).meta?.contentType).toHaveLength(size);
    },
  );

  function lengthBytes(length: number): number {
    return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4;
  }
});

describe('what other protocols say about a payload', () => {
  const back = (meta: Meta): { meta: Meta | null; leftOut: number } => {
    const wire = new WireMeta(meta);
    const frame = encodePublish(HEAD, Buffer.from('payload'), 0, 0, { ...NOTHING, meta: wire });
    return { meta: readPacket<PublishReader>(frame).meta, leftOut: wire.leftOut };
  };

  it('is written as JSON where it is no text', () => {
    const values = [1, -0.5, true, null, [1, 'a'], { a: { b: [] } }, new Date(0), Uint8Array.of(255), '1', ''];
    const { meta, leftOut } = back(
      new Meta(
        null,
        null,
        null,
        false,
        values.map((value, i) => [`n${i}`, value]),
      ),
    );
    expect(leftOut).toBe(0);
    expect(meta?.pairs.map(([, text]) => text)).toEqual([
      '1',
      '-0.5',
      'true',
      'null',
      '[1,"a"]',
      '{"a":{"b":[]}}',
      '"1970-01-01T00:00:00.000Z"',
      '{"$binary":{"base64":"/w==","subType":"00"}}',
      '1',
      '',
    ]);
  });

  it('is left out and counted where MQTT cannot carry it', () => {
    const tooLong = 'ä'.repeat(32_768);
    const { meta, leftOut } = back(
      new Meta('a\0', 'a/#', new Uint8Array(65_536), true, [
        ['kept', 'x'],
        ['\ud800', 'x'],
        ['x', 'a\0'],
        ['long', tooLong],
        [tooLong, 'long'],
        ['list', [tooLong]],
        ['kept', 'y'],
      ]),
    );
    expect(leftOut).toBe(8);
    expect(meta).toMatchObject({ contentType: null, responseTopic: null, correlationData: null, isText: true });
    expect(meta?.pairs).toEqual([
      ['kept', 'x'],
      ['kept', 'y'],
    ]);
  });

  it('is whole at the longest text and data', () => {
    const longest = 'a'.repeat(65_535);
    const { meta, leftOut } = back(new Meta(longest, null, new Uint8Array(65_535), false, [[longest, longest]]));
    expect(leftOut).toBe(0);
    expect(meta?.pairs).toEqual([[longest, longest]]);
    expect(meta?.correlationData).toHaveLength(65_535);
  });

  it('with no response topic but an empty one is left out', () => {
    expect(back(new Meta(null, '', null, false, []))).toEqual({ meta: null, leftOut: 1 });
  });
});

describe('[MQTT5-3.3.2-6] the remaining time', () => {
  it.each([
    [10_000, 0, 10],
    [10_000, 1, 10],
    [10_000, 9_999, 1],
    [10_000, 10_000, 0],
    [10_000, 11_000, 0],
    [2 ** 50, 0, 0xffff_ffff],
  ])('of what dies at %i is at %i so many seconds: %i', (deadline, now, seconds) => {
    expect(remainingSeconds(deadline, now)).toBe(seconds);
  });
});
