import { expect, it } from 'vitest';
import { wordsOf } from '../../src/haven-tool/words.js';

it.each<[string, string[]]>([
  ['', []],
  ['  \t', []],
  ['# a remark', []],
  ['read /a', ['read', '/a']],
  ['  read\t /a  ', ['read', '/a']],
  ['write /a #1', ['write', '/a', '#1']],
  [`write '/a b' "c d"e`, ['write', '/a b', 'c de']],
  [`write /a ''`, ['write', '/a', '']],
  [String.raw`write /a\ b c\\d`, ['write', '/a b', String.raw`c\d`]],
  [String.raw`write /a "say \"hi\" \n"`, ['write', '/a', String.raw`say "hi" \n`]],
  [String.raw`write /a '\n'`, ['write', '/a', String.raw`\n`]],
  ['write /a {"n": [1, 2], "t": "a } b"} --expect 1', ['write', '/a', '{"n": [1, 2], "t": "a } b"}', '--expect', '1']],
  [String.raw`write /a [ "\"]" ]`, ['write', '/a', String.raw`[ "\"]" ]`]],
  [`write /a '{"n":1}'`, ['write', '/a', '{"n":1}']],
  ['read /a{b', ['read', '/a{b']],
  ['write /a \\', ['write', '/a', '\\']],
])('splits %j', (line, words) => {
  expect(wordsOf(line)).toEqual(words);
});

it.each([`write /a 'b`, 'write /a "b', 'write /a {"b": 1', 'write /a ["}"'])('says what is not closed in %j', (line) => {
  expect(() => wordsOf(line)).toThrow(/not closed/);
});
