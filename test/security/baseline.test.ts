// What the configuration declares is made once and changed when its declaration changes; what was changed at run time stays.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Directory } from '../../src/core/security/directory.js';
import { applyBaseline, type DeclaredGroup, type DeclaredUser } from '../../src/security/baseline.js';
import { startEngine } from '../support/core-harness.js';
import { keptLog } from '../support/silent-log.js';
import { temporaryDirectory } from '../support/temporary.js';

const READ = { '/a/*': { actions: ['get' as const] } };
const WRITE = { '/a/*': { actions: ['set' as const] } };

function group(name: string, changes: Partial<DeclaredGroup> = {}): DeclaredGroup {
  return { name, permissions: {}, customData: {}, ...changes };
}

function user(name: string, changes: Partial<DeclaredUser> = {}): DeclaredUser {
  return { ...group(name), password: null, passwordHash: null, publicKey: null, groups: [], ...changes };
}

async function house() {
  const { engine, context, stop } = await startEngine();
  onTestFinished(stop);
  const directory = context.directory as Directory;
  const file = join(await temporaryDirectory(), 'declared.json');
  const log = keptLog();
  const change = engine.administer.bind(engine);
  const parts = {
    directory,
    change: (command: Parameters<typeof change>[0]) => change(command),
    hash: async (text: string) => `hash of ${text}`,
    log,
    file,
  };
  /** One start of a gateway, and what it says. */
  const start = async (groups: readonly DeclaredGroup[], users: readonly DeclaredUser[] = []): Promise<string[]> => {
    log.lines.length = 0;
    await applyBaseline(groups, users, parts);
    return log.lines.map(({ level, fields }) => `${level} ${(fields as { declared: string }).declared}`);
  };
  return { engine, directory, file, start };
}

describe('what is declared', () => {
  it('is made at the first start, and left alone at the next', async () => {
    const { directory, file, start } = await house();
    const groups = [group('readers', { permissions: READ, customData: { site: 1 } })];
    const users = [
      user('bob', { password: 'secret', groups: ['readers'] }),
      user('key', { passwordHash: 'pbkdf2$1$aa$bb', publicKey: 'PEM' }),
    ];
    expect(await start(groups, users)).toEqual(['info group readers', 'info user bob', 'info user key']);
    expect(directory.group('readers')).toMatchObject({ permissions: READ, customData: { site: 1 } });
    expect(directory.user('bob')).toMatchObject({ password: 'hash of secret', groups: ['readers'] });
    expect(directory.user('key')).toMatchObject({ password: 'pbkdf2$1$aa$bb', publicKey: 'PEM' });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).not.toContain('secret');
    expect(await start(groups, users)).toEqual([]);
    expect(await start([], [])).toEqual([]);
    expect(directory.group('readers')).not.toBeNull();
  });

  it('is changed when its declaration changes, but for the password', async () => {
    const { directory, start } = await house();
    await start([group('readers', { permissions: READ })], [user('bob', { password: 'first' })]);
    const id = directory.user('bob')?.id;
    const next = [user('bob', { password: 'second', groups: ['readers'], permissions: READ })];
    expect(await start([group('readers', { permissions: WRITE })], next)).toEqual(['info group readers', 'info user bob']);
    expect(directory.group('readers')?.permissions).toEqual(WRITE);
    expect(directory.user('bob')).toMatchObject({ id, password: 'hash of first', groups: ['readers'], permissions: READ });
    expect(
      await start([group('readers', { permissions: WRITE })], [user('bob', { password: 'third', groups: ['readers'], permissions: READ })]),
    ).toEqual([]);
  });
});

describe('what cannot be', () => {
  it('stops the start, and says which', async () => {
    const { start } = await house();
    await expect(start([group('x_ADMINx')])).rejects.toThrow(/^security\.groups: x_ADMINx: the group's name must not contain _ADMIN$/);
    await expect(start([], [user('a*b')])).rejects.toThrow(/^security\.users: a\*b: /);
  });
});

describe('what was changed at run time', () => {
  it('stays, whether the declaration changes or not, and that is said', async () => {
    const { engine, directory, start } = await house();
    const first = [group('readers', { permissions: READ })];
    await start(first, [user('bob')]);
    await engine.administer({ type: 'permission', of: { kind: 'group', name: 'readers' }, path: '/b', action: 'on', authorized: true });
    await engine.administer({ type: 'link', user: 'bob', group: 'readers' });
    const changed = directory.group('readers')?.permissions;
    expect(await start(first, [user('bob')])).toEqual([]);
    expect(await start([group('readers', { permissions: WRITE })], [user('bob', { permissions: WRITE })])).toEqual([
      'warn group readers',
      'warn user bob',
    ]);
    expect(directory.group('readers')?.permissions).toEqual(changed);
    expect(directory.user('bob')).toMatchObject({ groups: ['readers'], permissions: {} });
  });

  it('does not count for the password: the rest is changed as declared', async () => {
    const { engine, directory, start } = await house();
    await start([], [user('bob', { password: 'first' })]);
    await engine.administer({ type: 'password', name: 'bob', from: 'hash of first', to: 'another', endsTokens: true });
    expect(await start([], [user('bob', { password: 'first', permissions: READ })])).toEqual(['info user bob']);
    expect(directory.user('bob')).toMatchObject({ password: 'another', permissions: READ });
  });

  it('and was deleted is not made again', async () => {
    const { engine, directory, start } = await house();
    await start([group('readers')], [user('bob')]);
    await engine.administer({ type: 'deleteUser', name: 'bob' });
    await engine.administer({ type: 'deleteGroup', name: 'readers' });
    expect(await start([group('readers')], [user('bob')])).toEqual([]);
    expect(await start([group('readers', { permissions: READ })], [user('bob', { permissions: READ })])).toEqual([
      'warn group readers',
      'warn user bob',
    ]);
    expect([directory.user('bob'), directory.group('readers')]).toEqual([null, null]);
  });

  it('and was made then is not touched when it is declared later', async () => {
    const { engine, directory, start } = await house();
    await engine.administer({
      type: 'putUser',
      name: 'bob',
      id: 'x'.repeat(32),
      fields: { password: 'own' },
      when: 'absent',
      merge: false,
    });
    expect(await start([], [user('bob', { password: 'declared', permissions: READ })])).toEqual(['warn user bob']);
    expect(directory.user('bob')).toMatchObject({ password: 'own', permissions: {} });
  });
});

describe('a start that was interrupted', () => {
  it('after something was applied is made up for at the next', async () => {
    const { file, start } = await house();
    const groups = [group('readers', { permissions: READ })];
    await start(groups);
    writeFileSync(file, '{}');
    expect(await start(groups)).toEqual([]);
    expect(await start([group('readers', { permissions: WRITE })])).toEqual(['info group readers']);
  });

  it('with a damaged memory of it stops, and says what to do', async () => {
    const { file, start } = await house();
    writeFileSync(file, '{');
    await expect(start([group('readers')])).rejects.toThrow(/declared\.json: it is damaged; delete it/);
  });
});
