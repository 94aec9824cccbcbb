// Finished websocket frames, read back by an independent reader.

import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { FrameWriter, textFrame } from '../../../src/adapters/happn/frames.js';

/** Takes unmasked text frames apart, as RFC 6455 section 5.2 describes them. */
function readFrames(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    expect(bytes[at]).toBe(0x81);
    let length = bytes[at + 1] as number;
    let head = 2;
    if (length === 126) {
      length = bytes.readUInt16BE(at + 2);
      head = 4;
      expect(length).toBeGreaterThan(125);
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at + 2));
      head = 10;
      expect(length).toBeGreaterThan(65_535);
    }
    texts.push(bytes.toString('utf8', at + head, at + head + length));
    at += head + length;
  }
  return texts;
}

function written(fill: (writer: FrameWriter) => void): { texts: string[]; writes: number } {
  const writer = new FrameWriter();
  const socket = new PassThrough({ highWaterMark: 1 << 28 });
  fill(writer);
  const { length } = writer;
  writer.writeTo(socket);
  expect(writer.length).toBe(0);
  const writes = socket.readableLength === 0 ? 0 : 1;
  const bytes = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
  expect(bytes.length).toBe(length);
  return { texts: readFrames(bytes), writes };
}

const SIZES = [0, 1, 41, 42, 124, 125, 126, 127, 21_844, 21_845, 21_846, 65_534, 65_535, 65_536, 80_000, 300_000];

test.each(['a', 'ä', '€', '😀'])('frames of every size of %s come back as they were', (character) => {
  const texts = SIZES.map((size) => character.repeat(size));
  expect(written((writer) => texts.forEach((text) => void writer.text(text))).texts).toEqual(texts);
  for (const text of texts) expect(readFrames(textFrame(text))).toEqual([text]);
});

test('finished frames and texts keep their order, whatever their sizes', () => {
  const order = [10, 50_000, 20, 200_000, 30, 17_000, 100, 5];
  const expected = order.flatMap((size) => ['x'.repeat(size), 'y'.repeat(size)]);
  const { texts } = written((writer) => {
    for (const size of order) {
      writer.frame(textFrame('x'.repeat(size)));
      writer.text('y'.repeat(size));
    }
  });
  expect(texts).toEqual(expected);
});

test('one finished frame alone is written without a copy', () => {
  const frame = textFrame('shared');
  const writer = new FrameWriter();
  const given: unknown[] = [];
  const socket = new PassThrough();
  socket.write = ((chunk: unknown) => given.push(chunk) > 0) as never;
  writer.frame(frame);
  writer.writeTo(socket);
  expect(given[0]).toBe(frame);
});

test('many small frames fill more than one scratch', () => {
  const texts = Array.from({ length: 5_000 }, (_, i) => `${i}:${'z'.repeat(i % 300)}`);
  expect(written((writer) => texts.forEach((text) => void writer.text(text))).texts).toEqual(texts);
});

test('what was collected for a lost socket does not reach the next', () => {
  const { texts } = written((writer) => {
    writer.text('for the first');
    writer.frame(textFrame('for the first'));
    writer.clear();
    writer.text('for the second');
  });
  expect(texts).toEqual(['for the second']);
});
