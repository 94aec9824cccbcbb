// What a text may hold before it is parsed, and what it is parsed to.

import { describe, expect, test } from 'vitest';
import { checkFrameText, checkNumbers, parseFrame, peekFrame } from '../../../src/adapters/happn/frame-text.js';
import { FIRST_FRAME_LIMITS, type Frame, frameLimits } from '../../../src/adapters/happn/wire.js';
import { costMs } from '../../support/processor-time.js';

const limits = frameLimits(10_485_760);

describe('limits before parsing', () => {
  test('take a frame as deep as allowed and refuse one level more', () => {
    const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(() => checkFrameText(nested(32), limits)).not.toThrow();
    expect(() => checkFrameText(nested(33), limits)).toThrow(/32 levels/);
    expect(() => checkFrameText(nested(9), FIRST_FRAME_LIMITS)).toThrow(/8 levels/);
  });

  test('count elements, not characters of texts', () => {
    expect(() => checkFrameText(`[${'0,'.repeat(65_534)}0]`, limits)).not.toThrow();
    expect(() => checkFrameText(`[${'0,'.repeat(65_536)}0]`, limits)).toThrow(/65536 elements/);
    expect(() => checkFrameText(`["${',[{'.repeat(100_000)}\\\\\\""]`, limits)).not.toThrow();
    expect(() => checkFrameText(`{"a":[${'{},'.repeat(70_000)}0]}`, limits)).toThrow(/elements/);
  });

  test('B4 refuse an element bomb within 20 ms', () => {
    const bomb = Buffer.from(`[${'{},'.repeat(3_000_000)}{}]`).toString();
    const refused = (): void => expect(() => checkFrameText(bomb, limits)).toThrow(/elements/);
    expect(costMs(refused)).toBeLessThan(20);
  });

  test('end a text at its own quote, whatever is escaped in it', () => {
    const text = JSON.stringify({ a: '"\\"[[[[\\\\', b: '\\', c: `${'['.repeat(50)}` });
    expect(() => checkFrameText(text, limits)).not.toThrow();
  });

  test('name the action and the event id of a frame that was not parsed', () => {
    expect(peekFrame('{"action":"set","eventId":12,"path":')).toEqual({ action: 'set', eventId: 12 });
    expect(peekFrame('[[[[')).toEqual({});
  });
});

describe('numbers', () => {
  test('are refused when a double would lose a digit of them', () => {
    for (const literal of ['9007199254740993', '123456789012345678901', '1e400', '-1E400', '0.12345678901234567890123']) {
      expect(() => checkNumbers(`{"data":{"n":${literal}}}`), literal).toThrow(/kept exactly/);
    }
  });

  test('pass as every JavaScript client writes them', () => {
    const numbers = [0, -0, 0.1, 1 / 3, 2 ** 53, 2 ** 64, 1e21, 1.7976931348623157e308, 5e-324, Math.PI, 1_700_000_000_000];
    expect(() => checkNumbers(JSON.stringify({ numbers }))).not.toThrow();
  });

  test('in texts are texts', () => {
    expect(() => checkNumbers('{"a":"9007199254740993","b":"1e999","c":"x\\"1e999,"}')).not.toThrow();
  });
});

describe('parsing a frame', () => {
  test('takes objects only, and never throws', () => {
    for (const text of ['null', '1', '"x"', '[]', '[{}]', '{not json', '', '\u0000']) expect(parseFrame(text)).toBeNull();
    expect(parseFrame('{"action":"set"}')).toEqual({ action: 'set' });
  });

  test('leaves a key named __proto__ a key', () => {
    const frame = parseFrame('{"__proto__":{"action":"set"},"eventId":1}') as Frame;
    expect(frame.action).toBeUndefined();
    expect(({} as { action?: string }).action).toBeUndefined();
  });
});
