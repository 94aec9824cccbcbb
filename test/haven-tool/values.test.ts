import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jsonText } from '../../src/core/data/formats.js';
import { jsonOf, shownValue, valueIn } from '../../src/haven-tool/values.js';
import { temporaryDirectory } from '../support/gateway-process.js';

const BYTES = Buffer.from([0, 0xff, 10]);

describe('a word', () => {
  it.each<[string, unknown]>([
    ['1', 1],
    ['-0.5', -0.5],
    ['true', true],
    ['null', null],
    ['"1"', '1'],
    ['[1,{"a":null}]', [1, { a: null }]],
    ['on', 'on'],
    ['', ''],
    ['01', '01'],
    ['{"a":', '{"a":'],
    ['{"$binary":{"base64":"AP8K","subType":"00"}}', BYTES],
    ['{"a":[{"$binary":{"base64":"AP8K","subType":"00"}}]}', { a: [BYTES] }],
    ['{"__proto__":1}', JSON.parse('{"__proto__":1}')],
    ['9007199254740991', 9007199254740991],
    ['"9007199254740993"', '9007199254740993'],
  ])('%j is a value', (word, value) => {
    expect(valueIn(word)).toEqual(value);
  });

  it('is text when that is asked for', () => {
    expect(valueIn('1', true)).toBe('1');
    expect(valueIn('@x', true)).toBe('@x');
  });

  it('with @ is the bytes of a file', () => {
    const file = join(temporaryDirectory(), 'bytes');
    writeFileSync(file, BYTES);
    expect(valueIn(`@${file}`)).toEqual(BYTES);
    expect(() => valueIn(`@${file}.none`)).toThrow(/cannot read the file .*: no such file or directory/);
  });

  it.each(['9007199254740993', '[1,12345678901234567890]', '1e400'])('%s is refused: it could not be kept exactly', (word) => {
    expect(() => valueIn(word)).toThrow(/cannot be kept exactly/);
  });

  it('that must be JSON says so when it is not', () => {
    expect(() => jsonOf('{a}', '--criteria')).toThrow('--criteria must be JSON');
  });
});

describe('a value', () => {
  it.each<[unknown, string]>([
    ['text', 'text'],
    ['two\nlines\t', 'two\\nlines\\t'],
    ['\u001b[31mred\u009b', '\\u001b[31mred\\u009b'],
    [{ a: '\u007f' }, '{"a":"\\u007f"}'],
    [BYTES, '<3 bytes: 00 ff 0a>'],
    [Buffer.alloc(17), `<17 bytes: ${Array.from({ length: 16 }, () => '00').join(' ')} …>`],
    [Buffer.alloc(0), '<0 bytes>'],
    [null, 'null'],
    [[1.5, new Date(0)], '[1.5,"1970-01-01T00:00:00.000Z"]'],
  ])('%j is shown in one line that commands no terminal', (value, text) => {
    expect(shownValue(value)).toBe(text);
  });

  it('in JSON can be given back as it is', () => {
    const value = { bytes: BYTES, list: [BYTES, 1, 'x'], text: 'ü' };
    expect(valueIn(jsonText(value))).toEqual(value);
  });
});
