// Rights by the measured examples of happn-protocol.md 10.3, templates by 10.4, and what is kept of decisions.

import { describe, expect, it } from 'vitest';
import { type Action, type Dialect, type Permissions, parsePattern, type User } from '../../../src/core/index.js';
import { ALL_DECISIONS_MAX, DECISIONS_MAX, Decisions } from '../../../src/core/security/decisions.js';
import { CompiledRights, type RightsOptions } from '../../../src/core/security/rights.js';
import { Rule, RuleSet } from '../../../src/core/security/rule-set.js';
import { rulesFor, TEMPLATE_PATTERNS_MAX } from '../../../src/core/security/templates.js';

function rightsOf(permissions: Permissions, decisions = new Decisions(), options: RightsOptions = {}): CompiledRights {
  const rules = Object.entries(permissions).map(([pattern, permission]) => new Rule(pattern, permission, 'user'));
  return new CompiledRights([new RuleSet(rules)], decisions, options);
}

const ALL = { actions: ['*'] } as const;

describe('permissions', () => {
  it('are anchored globs in which * crosses slashes, and a leading slash counts', () => {
    const rights = rightsOf({ '/hello/*': ALL, '/part*': ALL, '/a/*/c': ALL, 'noslash/*': ALL, exact: ALL });
    for (const path of ['/hello/1', '/hello/1/2/3', '/part', '/partial', '/part/a/b', '/a/b/c', '/a/b/x/c', 'noslash/1', 'exact']) {
      expect(rights.allows('get', path), path).toBe(true);
    }
    for (const path of ['/hello', '/Hello/1', '/noslash/1', '/a/c', 'xexact', 'exact/', '/exact', '']) {
      expect(rights.allows('get', path), path).toBe(false);
    }
  });

  it('count for the actions that they name; * is all but control', () => {
    const rights = rightsOf({ a: { actions: ['get', 'on'] }, b: ALL, c: { actions: ['control'] } });
    const allowed = (path: string): Action[] =>
      (['set', 'remove', 'get', 'on', 'control', 'put', 'post', 'delete', 'head', 'options', 'patch'] as const).filter((action) =>
        rights.allows(action, path),
      );
    expect(allowed('a')).toEqual(['get', 'on']);
    expect(allowed('b')).toEqual(['set', 'remove', 'get', 'on', 'put', 'post', 'delete', 'head', 'options', 'patch']);
    expect(allowed('c')).toEqual(['control']);
  });

  it('yield to any prohibition, however near or far it is', () => {
    const rights = rightsOf({ '/proh/*': { prohibit: ['*'] }, '/proh/ok/*': ALL, '/x/*': { actions: ['*'], prohibit: ['remove'] } });
    expect(rights.allows('get', '/proh/ok/1')).toBe(false);
    expect(rights.allows('set', '/x/1')).toBe(true);
    expect(rights.allows('remove', '/x/1')).toBe(false);
  });

  it('of any kind reach no reserved area, but for control', () => {
    const rights = rightsOf({ '*': ALL, '/_HAVEN/*': { actions: ['*', 'control'] }, '$SYS/*': ALL });
    for (const path of ['/_SYSTEM/x', '_SYSTEM/x', '/_HAVEN/control', '$SYS/x', '$', '$other/x']) {
      expect(rights.allows('get', path), path).toBe(false);
      expect(rights.covers('on', parsePattern(path, 'mqtt')), path).toBe('none');
    }
    expect(rights.allows('control', '/_HAVEN/control')).toBe(true);
    expect(rights.covers('on', parsePattern('$SYS/#', 'mqtt'))).toBe('none');
    expect(rights.covers('on', parsePattern('#', 'mqtt'))).toBe('all');
  });

  it('say which one decided', () => {
    const rights = rightsOf({ '/a/*': ALL, '/a/b': { prohibit: ['set'] } });
    expect(rights.explain('get', '/a/b')).toEqual({ allowed: true, pattern: '/a/*', source: 'user', lookup: null });
    expect(rights.explain('set', '/a/b')).toEqual({ allowed: false, pattern: '/a/b', source: 'user', lookup: null });
    expect(rights.explain('set', '/b')).toEqual({ allowed: false, pattern: null, source: null, lookup: null });
  });
});

describe('a pattern', () => {
  const covers = (permissions: Permissions, text: string, dialect: Dialect): string =>
    rightsOf(permissions).covers('on', parsePattern(text, dialect));

  it.each<[string, string, Dialect, string]>([
    ['/hello/*', '/hello/*', 'glob', 'all'],
    ['/hello/*', '/hello/**', 'glob', 'all'],
    ['/hello/*', '/hello/a*b', 'glob', 'all'],
    ['/hello/*', '/*', 'glob', 'none'],
    ['/hello/*', '/hello*', 'glob', 'none'],
    ['/hello/*', '/hello/#', 'mqtt', 'checked'],
    ['/hello*', '/hello/#', 'mqtt', 'all'],
    ['/hello/*', '/hello/+', 'mqtt', 'all'],
    ['/hello/*', '/+/x', 'mqtt', 'none'],
    ['*', '#', 'mqtt', 'all'],
    ['/hello/*', '/hello/*', 'segments', 'checked'],
    ['/hello/*', '/hello/**', 'segments', 'checked'],
    ['/hello/*', 'hello/**', 'segments', 'none'],
    ['*', '/hello/**', 'segments', 'all'],
    ['*', '*', 'segments', 'all'],
    ['/hello/1', '/hello/1', 'glob', 'all'],
    ['/hello/1', '/hello/1', 'segments', 'checked'],
  ])('that %s allows: %s (%s) is covered: %s', (allowed, text, dialect, expected) => {
    expect(covers({ [allowed]: ALL }, text, dialect)).toBe(expected);
  });

  it('is looked at path by path where a prohibition may touch it, and refused where one covers it', () => {
    const permissions: Permissions = { '/a/*': ALL, '/a/secret/*': { prohibit: ['on'] } };
    expect(covers(permissions, '/a/*', 'glob')).toBe('checked');
    expect(covers(permissions, '/a/b/*', 'glob')).toBe('all');
    expect(covers(permissions, '/a/secret/*', 'glob')).toBe('none');
    expect(covers(permissions, '/a/secret/x/*', 'glob')).toBe('none');
    expect(rightsOf(permissions).covers('get', parsePattern('/a/*', 'glob'))).toBe('all');
  });

  it('is not covered by two allowances together', () => {
    expect(covers({ '/a/x*': ALL, '/a/y*': ALL }, '/a/*', 'glob')).toBe('none');
  });
});

describe('with nested rights a pattern', () => {
  const permissions: Permissions = {
    '/a/*': ALL,
    '/a/secret/*': { prohibit: ['get', 'on'] },
    '/one': { actions: ['on'] },
    '/w/*': { actions: ['set', 'remove'] },
    '/shut/x/*': ALL,
    '/shut/*': { prohibit: ['*'] },
  };
  const rights = rightsOf(permissions, new Decisions(), { isNested: true });

  it.each<[string, Dialect, Action, string]>([
    ['/*', 'glob', 'on', 'partial'],
    ['*', 'glob', 'get', 'partial'],
    ['#', 'mqtt', 'on', 'partial'],
    ['/+/b', 'mqtt', 'on', 'partial'],
    ['/**', 'segments', 'on', 'partial'],
    ['a/**', 'segments', 'on', 'partial'],
    ['/on*', 'glob', 'on', 'partial'],
    ['/on*', 'glob', 'get', 'none'],
    ['/a/*', 'glob', 'on', 'checked'],
    ['/a/b/*', 'glob', 'on', 'all'],
    ['/b/*', 'glob', 'on', 'none'],
    ['/b/#', 'mqtt', 'on', 'none'],
    ['/b/**', 'segments', 'on', 'none'],
    ['/w/*', 'glob', 'on', 'none'],
    ['/*', 'glob', 'remove', 'none'],
    ['/*', 'glob', 'set', 'none'],
    ['/a/secret/*', 'glob', 'on', 'none'],
    ['/shut/x/*', 'glob', 'on', 'none'],
    ['/shut/*', 'glob', 'on', 'none'],
    ['/sh*', 'glob', 'on', 'none'],
    ['one', 'segments', 'on', 'none'],
    ['/b', 'glob', 'on', 'none'],
    ['$SYS/#', 'mqtt', 'on', 'none'],
    ['/_SYSTEM/*', 'glob', 'get', 'none'],
  ])('%s (%s) for %s is covered: %s', (text, dialect, action, expected) => {
    expect(rights.covers(action, parsePattern(text, dialect))).toBe(expected);
  });

  it('is explained by a permission that reaches into it', () => {
    expect(rights.explain('on', parsePattern('/*', 'glob'))).toEqual({ allowed: true, pattern: '/a/*', source: 'user', lookup: null });
    expect(rights.explain('on', parsePattern('/b/*', 'glob'))).toEqual({ allowed: false, pattern: null, source: null, lookup: null });
    expect(rights.explain('on', parsePattern('/shut/*', 'glob'))).toMatchObject({ allowed: false, pattern: '/shut/*' });
  });
});

describe('templates', () => {
  const user: User = {
    name: 'ann',
    id: '7',
    password: null,
    publicKey: null,
    groups: [],
    permissions: {},
    customData: { team: 'red', sites: ['a', 'b'], floor: 3, deep: { er: 'x' }, wild: 'a*', line: 'a\nb', none: null, object: {} },
    created: 0,
    modified: 0,
    tokensSince: 0,
  };
  const patterns = (pattern: string): string[] => rulesFor(pattern, ALL, user, 'user').map((rule) => rule.pattern);

  it('stand for what is known of the user', () => {
    expect(patterns('/home/{{user.username}}/*')).toEqual(['/home/ann/*']);
    expect(patterns('/t/{{user.custom_data.team}}/{{ user.custom_data.floor }}')).toEqual(['/t/red/3']);
    expect(patterns('/t/{{user.customData.deep.er}}')).toEqual(['/t/x']);
  });

  it('of a list stand for each of its values', () => {
    const expected = ['/a/x/a', '/a/x/b', '/b/x/a', '/b/x/b'];
    expect(patterns('/{{user.custom_data.sites}}/x/{{user.custom_data.sites}}')).toEqual(expected);
  });

  it('without a value permit nothing', () => {
    for (const name of ['none', 'object', 'line', 'toString', '__proto__', 'constructor.name', 'team.length', 'nothing.at.all']) {
      expect(patterns(`/t/{{user.custom_data.${name}}}`), name).toEqual([]);
    }
    for (const name of ['session.id', 'user', 'user.password', 'username', '']) expect(patterns(`/t/{{${name}}}`), name).toEqual([]);
  });

  it('whose value has a wildcard allow nothing, and prohibit what they say', () => {
    const [rule] = rulesFor('/t/{{user.custom_data.wild}}', { actions: ['get'], prohibit: ['set'] }, user, 'user');
    expect([rule?.allow, rule?.matches('/t/ab'), (rule?.prohibit ?? 0) > 0]).toEqual([0, true, true]);
  });

  it('that become too many permit nothing', () => {
    const sites = Array.from({ length: TEMPLATE_PATTERNS_MAX + 1 }, (_, n) => String(n));
    expect(rulesFor('/{{user.custom_data.sites}}', ALL, { ...user, customData: { sites } }, 'user')).toEqual([]);
  });
});

describe('decisions', () => {
  it('are kept up to a bound for each, and for all together', () => {
    const decisions = new Decisions();
    const rights = Array.from({ length: 20 }, () => rightsOf({ 'p/*': ALL }, decisions));
    const allowed = (each: CompiledRights, area: string): number => {
      let count = 0;
      for (let n = 0; n < DECISIONS_MAX + 10; n++) if (each.allows('set', `${area}/${n}`)) count += 1;
      return count;
    };
    for (const each of rights) {
      expect(allowed(each, 'p')).toBe(DECISIONS_MAX + 10);
      expect(decisions.count).toBeLessThanOrEqual(ALL_DECISIONS_MAX);
    }
    const [first] = rights as [CompiledRights];
    expect([allowed(first, 'p'), allowed(first, 'q')]).toEqual([DECISIONS_MAX + 10, 0]);
  });
});
