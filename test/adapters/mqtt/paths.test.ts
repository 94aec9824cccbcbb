import { describe, expect, it } from 'vitest';
import { filterFault, isSystemTopic, Topics, topicFault } from '../../../src/adapters/mqtt/paths.js';

const deep = (levels: number): string => Array(levels).fill('a').join('/');

describe('topics', () => {
  it.each(['a', '/', 'a/b', '/a', 'a//b', ' ', 'a*', '$x', 'ä', deep(100)])('%s can be published to', (topic) => {
    expect(topicFault(topic)).toBeNull();
  });

  it.each(['', '+', '#', 'a/+', 'a#', deep(101)])('%s cannot be published to', (topic) => {
    expect(topicFault(topic)).not.toBeNull();
  });

  it.each(['#', '+', 'a', 'a/#', '+/a', 'a/+/b', '/+', '+/#', '$SYS/#', '/#', deep(100)])('%s is a filter', (filter) => {
    expect(filterFault(filter)).toBeNull();
  });

  it.each(['', 'a#', '#/a', 'a+', '+a', 'a/b+/c', 'a/+b', '##', '++', 'a/#/b', 'ab/+e', deep(101)])('%s is no filter', (filter) => {
    expect(filterFault(filter)).not.toBeNull();
  });

  it('keeps the broker’s own apart from names that merely begin like them', () => {
    expect([isSystemTopic('$SYS'), isSystemTopic('$SYS/x'), isSystemTopic('$SYSTEM'), isSystemTopic('a/$SYS')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('topics as paths', () => {
  it('are the same text without a mount point', () => {
    const topics = new Topics('');
    expect(topics.pathOf('/a//b')).toBe('/a//b');
    expect(topics.headOf('/a//b')?.toString('latin1')).toBe('\0\u0005/a//b');
  });

  it('stand behind the mount point', () => {
    const topics = new Topics('site/');
    expect(topics.pathOf('a')).toBe('site/a');
    expect(topics.headOf('site/a')?.toString('latin1')).toBe('\0\u0001a');
    expect(topics.patternOf('+').matches('site/a')).toBe(true);
    expect(topics.patternOf('#').matches('other/a')).toBe(false);
  });

  it('that begin with $ behind the mount point match no leading wildcard', () => {
    const topics = new Topics('site/');
    expect(topics.isHidden('#', 'site/$x')).toBe(true);
    expect(topics.isHidden('+', 'site/$x')).toBe(true);
    expect(topics.isHidden('$x', 'site/$x')).toBe(false);
    expect(topics.isHidden('#', 'site/x')).toBe(false);
  });

  it('cannot name every path', () => {
    const topics = new Topics('');
    for (const path of ['a/+/b', 'a#', deep(101), 'a'.repeat(65_536), 'ä'.repeat(32_768)]) expect(topics.headOf(path)).toBeNull();
    expect(topics.headOf('a'.repeat(65_535))?.length).toBe(65_537);
  });

  it('stay right when more were seen than are kept', () => {
    const topics = new Topics('');
    for (let i = 0; i < 10_000; i++) expect(topics.headOf(`t/${i}`)?.toString('latin1', 2)).toBe(`t/${i}`);
  });
});
