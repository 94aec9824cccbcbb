// What the protocol versions mean, what their wildcards mean, and how channels are read.

import { describe, expect, test } from 'vitest';
import * as paths from '../../../src/adapters/happn/paths.js';
import { mergeFormFor, UNCONFIGURED, type Version, versionNamed } from '../../../src/adapters/happn/versions.js';

const named = (name: string): Version => versionNamed(name) as Version;

describe('a protocol name', () => {
  test.each([
    ['happn', 'happn'],
    ['happn_1', 'happn_1'],
    ['happn_2', 'happn_2'],
    ['happn_3', 'happn_3'],
    ['happn_4', 'happn_4'],
    ['1.1.0', 'happn_1'],
    ['happn_1.3.0', 'happn_1'],
    ['happn_99', 'happn_1'],
  ])('%s means %s', (name, protocol) => {
    expect(named(name).protocol).toBe(protocol);
  });

  test.each(['other', '', 'HAPPN_4', 'constructor', '__proto__', 'toString'])('F5 %j means none', (name) => {
    expect(versionNamed(name)).toBeNull();
  });

  test('tells wildcards, heartbeats and short answers apart', () => {
    expect([UNCONFIGURED, named('happn_2')].map(({ dialect }) => dialect)).toEqual(['glob', 'glob']);
    expect([named('happn_3'), named('happn_4')].map(({ dialect }) => dialect)).toEqual(['segments', 'segments']);
    expect(['happn_1', 'happn_2', 'happn_3', 'happn_4'].map((name) => named(name).heartbeat)).toEqual([
      'client',
      'client',
      'client',
      'server',
    ]);
    expect(named('happn_4').noDataResponse).toBe(true);
    expect(named('happn_3').noDataResponse).toBe(false);
  });
});

test('merge subscriptions show the record in version 1, what is no object bare in later ones, the request from client version 13 on', () => {
  const four = named('happn_4');
  for (const version of ['13.12.1', '13', '14.0.0']) expect(mergeFormFor(four, version)).toBe('request');
  for (const version of ['10.6.0', 'unknown', '', 'x13', '1.3.0', null]) expect(mergeFormFor(four, version)).toBe('bare');
  expect(['happn', 'happn_1', 'happn_2', 'happn_3'].map((name) => mergeFormFor(named(name), null))).toEqual([
    'record',
    'record',
    'bare',
    'bare',
  ]);
});

describe('a channel', () => {
  test.each([
    ['/SET@/a/b', 'SET', '/a/b'],
    ['/set@a', 'SET', 'a'],
    ['SET@a', 'SET', 'a'],
    ['/ALL@/a/b@c', 'ALL', '/a/b@c'],
    ['/REMOVE@*', 'REMOVE', '*'],
    ['/ALL@', 'ALL', ''],
  ])('%s is heard as %s of %s', (text, event, key) => {
    expect(paths.parseChannel(text)).toEqual({ text, event, key });
  });

  test.each(['a/b', '/a/b', '/XYZ@/a', '@/a', '//SET@/a'])('%s is never heard', (text) => {
    expect(paths.parseChannel(text).event).toBeNull();
  });

  test('named * is everything', () => {
    expect(paths.parseChannel('*')).toEqual({ text: '/*@*', event: 'ALL', key: '*' });
  });
});

describe('patterns', () => {
  // Measured on real servers of each generation: pattern, then the paths that were heard.
  const tried = ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', '/wx', 'w/1'];
  const heard = (key: string, version: Version): string[] => {
    const pattern = paths.subscriptionPattern(key, version, paths.effectiveDepth(0));
    return tried.filter((path) => pattern.matches(path));
  };

  test.each([
    ['/w/*', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end']],
    ['/w/*/end', ['/w/1/end', '/w/1/2/end']],
    ['/w*', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', '/wx']],
    ['*end', ['/w/1/end', '/w/1/2/end']],
    ['/w/**', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end']],
    ['*', tried],
  ])('%s of protocols none, 1 and 2', (key, expected) => {
    for (const version of [UNCONFIGURED, named('happn_1'), named('happn_2')]) expect(heard(key, version)).toEqual(expected);
  });

  test.each([
    ['/w/*', ['/w/1', 'w/1']],
    ['/w/*/end', ['/w/1/end']],
    ['/w*', []],
    ['*end', []],
    ['/w/**', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', 'w/1']],
    ['*', tried],
  ])('%s of protocols 3 and 4', (key, expected) => {
    for (const version of [named('happn_3'), named('happn_4')]) expect(heard(key, version)).toEqual(expected);
  });

  test('count segments below a trailing ** whatever the slashes', () => {
    expect(paths.segmentsBelow('/a/**', '/a/b')).toBe(1);
    expect(paths.segmentsBelow('a/**', '/a/b/c')).toBe(2);
    expect(paths.segmentsBelow('/a/**', 'a/b/c/d')).toBe(3);
    expect(paths.segmentsBelow('**', '/a')).toBe(1);
    expect(paths.segmentsBelow('/**', 'a/b')).toBe(2);
  });

  test('take a depth only where it means something', () => {
    expect(paths.hasDepth('/a/**', named('happn_4'))).toBe(true);
    expect(paths.hasDepth('/a/*', named('happn_4'))).toBe(false);
    expect(paths.hasDepth('/a/**', named('happn_2'))).toBe(false);
    expect([0, -1, 1.5, '3', null, undefined, Number.NaN].map(paths.declaredDepth)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect([1, 5, 1_000_000].map(paths.declaredDepth)).toEqual([1, 5, 100]);
  });
});

describe('a path', () => {
  test.each(['/a/b', 'a', 'a b', 'I&J(western-cape)/x:y_2/s=true/c=10%', '{a}/+', 'a@b.c', 'set//double', '/trailing/'])(
    '%j is taken',
    (path) => {
      expect(paths.checkRequestPath(path)).toBe(path);
    },
  );

  test.each(['a^', 'a$b', 'ä', 'a\u0000', 'a"b', 'a#', '\ud800', ''])('%j is refused', (path) => {
    expect(() => paths.checkRequestPath(path)).toThrow(/Bad path/);
  });
});
