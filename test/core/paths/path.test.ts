// Paths: what is refused, what stays two addresses, and where the reserved areas begin.

import { describe, expect, it } from 'vitest';
import { RequestError } from '../../../src/core/errors.js';
import { checkPath, PATH_MAX_BYTES, reservedArea, textFault } from '../../../src/core/paths/path.js';

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof RequestError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('checkPath', () => {
  it.each([
    ['a/b'],
    ['/a/b'],
    ['a/b/'],
    ['a//b'],
    ['/'],
    [' '],
    ['a%2fb'],
    ['a*b/+/#'],
    ['$SYS/x'],
    ['__proto__/constructor/prototype'],
    ['caf\u00e9'],
    ['cafe\u0301'],
    ['\ufeffa'],
    ['\u{1f600}/x'],
    ['\uffff'],
  ])('returns %j unchanged', (path) => {
    expect(checkPath(path)).toBe(path);
  });

  it.each([
    ['a number', 7],
    ['null', null],
    ['undefined', undefined],
    ['an object with a toString', { toString: () => '/a' }],
    ['a list', ['/a']],
    ['empty text', ''],
    ['a lone high surrogate', 'a\ud83d'],
    ['a lone low surrogate', '\ude00a'],
    ['surrogates in the wrong order', '\ude00\ud83d'],
    ['NUL', 'a\u0000b'],
    ['a line feed', 'a\nb'],
    ['a unit separator', 'a\u001f'],
    ['DEL', 'a\u007f'],
    ['a C1 control character', 'a\u0085'],
    ['the last C1 control character', '\u009f'],
  ])('refuses %s', (_what, path) => {
    expect(codeOf(() => checkPath(path))).toBe('INVALID_PATH');
  });

  it('counts bytes, not characters, at the longest path', () => {
    expect(codeOf(() => checkPath('a'.repeat(PATH_MAX_BYTES)))).toBe('accepted');
    expect(codeOf(() => checkPath('a'.repeat(PATH_MAX_BYTES + 1)))).toBe('INVALID_PATH');
    expect(codeOf(() => checkPath('\u00e9'.repeat(PATH_MAX_BYTES / 2)))).toBe('accepted');
    expect(codeOf(() => checkPath(`\u00e9${'a'.repeat(PATH_MAX_BYTES - 1)}`))).toBe('INVALID_PATH');
    expect(codeOf(() => checkPath('\u{1f600}'.repeat(PATH_MAX_BYTES / 4)))).toBe('accepted');
  });

  it('does not fold texts that look alike into one address', () => {
    const lookalikes = ['caf\u00e9', 'cafe\u0301', 'a/b', '/a/b', 'a/b/', 'a//b', 'A/b', 'a%2fb', 'a%2Fb', './a/b', 'a/./b'];
    expect(new Set(lookalikes.map((path) => checkPath(path))).size).toBe(lookalikes.length);
  });
});

describe('textFault', () => {
  it('says what is wrong, or nothing', () => {
    expect(textFault('fine', 'filter', 10)).toBeNull();
    expect(textFault(12, 'filter', 10)).toBe('filter must be text');
    expect(textFault('', 'filter', 10)).toBe('filter must not be empty');
    expect(textFault('\u00e9'.repeat(5), 'filter', 10)).toBeNull();
    expect(textFault('\u00e9'.repeat(6), 'filter', 10)).toBe('filter must be at most 10 bytes');
  });
});

describe('reservedArea', () => {
  it.each([
    ['/_SYSTEM', '/_SYSTEM'],
    ['/_SYSTEM/', '/_SYSTEM'],
    ['/_SYSTEM/_SECURITY/_USER/x', '/_SYSTEM'],
    ['/_HAVEN/roles', '/_HAVEN'],
    ['_SYSTEM/x', '/_SYSTEM'],
    ['_HAVEN', '/_HAVEN'],
    ['$SYS/broker', '$SYS'],
    ['$SYS', '$SYS'],
    ['$', '$'],
    ['$a*/x', '$a*'],
  ])('finds that %s lies in %s', (path, area) => {
    expect(reservedArea(path)).toBe(area);
  });

  it.each([
    ['a'],
    ['/'],
    ['/_SYSTEMS/x'],
    ['/_system/x'],
    ['/_SYS'],
    ['//_SYSTEM/x'],
    ['/a/_SYSTEM/x'],
    ['/_SYSTEM*'],
    ['_events/x'],
    ['/$SYS/x'],
    ['a$'],
    [' /_SYSTEM'],
  ])('finds that %j lies in none', (path) => {
    expect(reservedArea(path)).toBeNull();
  });
});
