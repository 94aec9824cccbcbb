// Which topics cross, and their names on the other side.

import { describe, expect, it } from 'vitest';
import type { RuleConfig } from '../../../../src/adapters/mqtt/bridge/config.js';
import { Rules } from '../../../../src/adapters/mqtt/bridge/rules.js';

const rule = (more: Partial<RuleConfig>): RuleConfig => ({
  direction: 'both',
  filter: '#',
  localPrefix: '',
  remotePrefix: '',
  qos: 1,
  ...more,
});

describe('a rule', () => {
  it('replaces the prefix of one side by that of the other', () => {
    const rules = new Rules([rule({ filter: 'sensors/+/temp', localPrefix: 'plant/', remotePrefix: 'sites/7/' })]);
    expect(rules.remoteOf('plant/sensors/a/temp')).toBe('sites/7/sensors/a/temp');
    expect(rules.localOf('sites/7/sensors/a/temp')).toBe('plant/sensors/a/temp');
    expect(rules.remoteOf('sensors/a/temp')).toBeNull();
    expect(rules.localOf('sites/7/sensors/a/b/temp')).toBeNull();
  });

  it('joins prefixes as they are, without a slash of its own', () => {
    expect(new Rules([rule({ filter: 'x', localPrefix: 'a', remotePrefix: 'b/' })]).remoteOf('ax')).toBe('b/x');
  });

  it('with an empty filter is one topic under two names', () => {
    const rules = new Rules([rule({ filter: '', localPrefix: 'here', remotePrefix: 'there' })]);
    expect(rules.remoteOf('here')).toBe('there');
    expect(rules.localOf('there')).toBe('here');
    expect(rules.localOf('there/x')).toBeNull();
  });

  it('goes one way when it says so', () => {
    const rules = new Rules([rule({ direction: 'out', filter: 'up/#' }), rule({ direction: 'in', filter: 'down/#' })]);
    expect([rules.remoteOf('up/a'), rules.localOf('up/a')]).toEqual(['up/a', null]);
    expect([rules.remoteOf('down/a'), rules.localOf('down/a')]).toEqual([null, 'down/a']);
  });

  it('does not name the parent level that has no prefix', () => {
    const rules = new Rules([rule({ localPrefix: 'a/', remotePrefix: 'b/' })]);
    expect(rules.remoteOf('a')).toBeNull();
    expect(rules.remoteOf('a/')).toBe('b/');
  });

  it('with # leaves out what is the gateway’s own, and topics that begin with $', () => {
    const rules = new Rules([rule({})]);
    for (const path of ['$SYS/x', '$x', '/_SYSTEM/x', '/_HAVEN/x'])
      expect([rules.remoteOf(path), rules.localOf(path)]).toEqual([null, null]);
  });

  it('is decided by the first that matches', () => {
    const rules = new Rules([rule({ filter: 'a/b', remotePrefix: '1/' }), rule({ filter: 'a/#', remotePrefix: '2/' })]);
    expect(rules.remoteOf('a/b')).toBe('1/a/b');
    expect(rules.remoteOf('a/c')).toBe('2/a/c');
  });
});

describe('a response topic', () => {
  it('is called what the rules for the way back call it', () => {
    const rules = new Rules([
      rule({ direction: 'in', filter: 'requests/#', localPrefix: 'here/', remotePrefix: 'there/' }),
      rule({ direction: 'out', filter: 'responses/#', localPrefix: 'here/', remotePrefix: 'there/' }),
    ]);
    expect(rules.responseHere('there/responses/1')).toBe('here/responses/1');
    expect(rules.responseThere('here/requests/1')).toBe('there/requests/1');
    expect(rules.responseHere('elsewhere')).toBe('elsewhere');
  });
});
