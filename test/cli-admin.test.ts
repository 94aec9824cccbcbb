// The commands that administer a running gateway: of each way to end some as processes of their own, the others in one process.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandHost, type EndedCommand } from './support/command-host.js';
import { CliProcess, freePort, type GatewayProcess, startGateway, temporaryDirectory } from './support/gateway-process.js';

let gateway: GatewayProcess;
let host: CommandHost;

beforeAll(async () => {
  host = new CommandHost();
  gateway = await startGateway();
});

afterAll(async () => {
  host.close();
  await gateway.stop();
});

const environment = (): Record<string, string> => ({ TRIVIUM_ADMIN_URL: `http://127.0.0.1:${gateway.ports.admin}` });

function trivium(...args: string[]): Promise<EndedCommand> {
  return host.run(args, environment());
}

async function asProcess(...args: string[]): Promise<Omit<EndedCommand, 'code'> & { readonly code: number | null }> {
  const process = new CliProcess(args, { env: environment() });
  const { code } = await process.exited;
  return { code, stdout: process.stdout, stderr: process.stderr };
}

async function json(...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await trivium(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** The one line that a command that fails says. */
async function failure(code: number, ...args: string[]): Promise<string> {
  const ended = await trivium(...args);
  expect(ended).toMatchObject({ code, stdout: '' });
  expect(ended.stderr.trimEnd().split('\n'), ended.stderr).toHaveLength(1);
  return ended.stderr.trimEnd();
}

describe('trivium user and group', () => {
  it('make and show', async () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, 'secret of ann\n');
    const group = await trivium('group', 'put', 'staff', '--allow', '/plant/*=get,on', '--prohibit', '/plant/secret=*');
    expect(group).toMatchObject({ code: 0, stderr: '' });
    expect(group.stdout).toMatch(/^name +staff\nmembers +0\n/);
    expect(group.stdout).toMatch(/\nPATTERN +ALLOWED +PROHIBITED\n\/plant\/\* +get,on +-\n\/plant\/secret +- +\*\n$/);
    const made = await trivium('user', 'put', 'ann', '--password-file', file, '--group', 'staff', '--custom-data', '{"floor":1}');
    expect(made.stdout).toMatch(/^name +ann\ngroups +staff\npassword +set\npublic key +none\ncustom data +\{"floor":1\}\n/);
  });

  it('change what is named, or replace it', async () => {
    await trivium('user', 'put', 'ann', '--group', 'staff');
    expect(await json('user', 'put', 'ann', '--allow', '/own/*=*', '--allow', '/x=get')).toMatchObject({
      groups: ['staff'],
      permissions: { '/own/*': { actions: ['*'] }, '/x': { actions: ['get'] } },
    });
    expect(await json('user', 'put', 'ann', '--forget', '/x')).toMatchObject({ permissions: { '/own/*': { actions: ['*'] } } });
    expect(await json('user', 'put', 'ann', '--replace', '--allow', '/y=set')).toMatchObject({
      groups: ['staff'],
      permissions: { '/y': { actions: ['set'] } },
    });
  });

  it('allow, prohibit and withdraw single actions', async () => {
    expect(await json('group', 'allow', 'singles', '/a/*', 'get').catch(() => 'refused')).toBe('refused');
    await trivium('group', 'put', 'singles');
    expect(await json('group', 'allow', 'singles', '/a/*', 'get', 'on')).toMatchObject({
      permissions: { '/a/*': { actions: ['get', 'on'] } },
    });
    expect((await trivium('group', 'prohibit', 'singles', '/a/*', 'on')).stdout).toMatch(/\n\/a\/\* +get +on\n$/);
    expect(await json('group', 'withdraw', 'singles', '/a/*', 'get')).toMatchObject({ permissions: { '/a/*': { prohibit: ['on'] } } });
    expect(await failure(1, 'group', 'withdraw', 'singles', '/a/*', 'get')).toBe(
      'trivium: no permission of the group singles names get on /a/* (NOT_FOUND)',
    );
    expect(await failure(1, 'user', 'allow', 'nobody', '/a', 'get')).toBe('trivium: there is no user nobody (NOT_FOUND)');
  });

  it('link, unlink, list and take away', async () => {
    await Promise.all([trivium('group', 'put', 'crew', '--allow', '/a=get'), trivium('user', 'put', 'carl', '--group', 'crew')]);
    // To ask whether there is one already is no refusal.
    expect(await json('audit', '--target', 'crew')).toMatchObject({ entries: [{ action: 'group.put', refusal: null }] });
    expect((await trivium('user', 'unlink', 'carl', 'crew')).stdout).toBe('carl is not in crew\n');
    expect((await trivium('user', 'link', 'carl', 'crew')).stdout).toBe('carl is in crew\n');
    expect((await trivium('user', 'list', '--group', 'crew')).stdout).toMatch(/^NAME +GROUPS +PASSWORD +CHANGED\ncarl +crew +no +\S+\n$/);
    const groups = (await trivium('group', 'list')).stdout;
    expect(groups).toMatch(/\ncrew +1 +1 +\S+\n/);
    // It was there from the beginning of time.
    expect(groups).toMatch(/\n_ADMIN +\d +\d +-\n/);
    expect((await trivium('user', 'delete', 'carl')).stdout).toBe('the user carl is deleted\n');
    expect(await failure(1, 'user', 'show', 'carl')).toBe('trivium: there is no user carl (NOT_FOUND)');
  });

  it('show what groups look up, and change the tables', async () => {
    const lookup = { table: 'owned', regex: '^/d/(.*)$', actions: ['get'], path: '{{user.username}}/{{$1}}' };
    expect((await trivium('lookup', 'put', 'owned', '--add', 'carl/1', '--add', '/carl/2')).stdout).toBe('owned has 2 paths\n');
    expect((await trivium('lookup', 'put', 'owned', '--add', 'carl/3', '--remove', 'carl/1')).stdout).toBe('owned has 2 paths\n');
    expect((await trivium('lookup', 'show', 'owned')).stdout).toBe('carl/2\ncarl/3\n');
    const group = await trivium('group', 'put', 'owners', '--lookups', JSON.stringify([lookup]));
    expect(group.stdout).toMatch(
      /\nREGEX +BECOMES +IN TABLE +ALLOWED\n\^\/d\/\(\.\*\)\$ +\{\{user\.username\}\}\/\{\{\$1\}\} +owned +get\n$/,
    );
    expect((await trivium('lookup', 'list')).stdout).toMatch(/^NAME +PATHS +GROUPS +CHANGED\nowned +2 +owners +\S+\n$/);
  });

  it('make lookup tables anew, and take them away', async () => {
    expect((await trivium('lookup', 'put', 'anew', '--add', 'a', '--add', 'b')).stdout).toBe('anew has 2 paths\n');
    expect((await trivium('lookup', 'put', 'anew', '--replace', '--add', 'c')).stdout).toBe('anew has 1 path\n');
    expect((await trivium('lookup', 'delete', 'anew')).stdout).toBe('the lookup table anew is deleted\n');
  });

  it('never take a password from the command line', async () => {
    expect(await failure(2, 'user', 'put', 'ann', '--password', 'x')).toMatch(/unknown option '--password'/);
    expect(await asProcess('user', 'put', 'ann', '--password', 'x')).toMatchObject({ code: 2, stdout: '' });
  });

  it.each([
    [['user', 'put', 'ann', '--allow', '/a'], /it has no pattern, or no actions/],
    [['user', 'put', 'ann', '--allow', '/a=fly'], /there is no action fly/],
    [['user', 'put', 'ann', '--custom-data', '{'], /this is not valid JSON/],
    [['user', 'put', 'ann', '--password-file', '/nowhere'], /cannot read \/nowhere: no such file or directory/],
    [['user', 'put', 'ann', '--replace', '--forget', '/a'], /cannot be used/],
    [['group', 'put', 'staff', '--lookups', '['], /--lookups: this is not valid JSON/],
    [['lookup', 'put', 'x', '--replace', '--remove', 'a'], /cannot be used/],
    [['user', 'put'], /missing required argument 'name'/],
    [['user', 'show', 'ann', '--admin-url', 'nowhere'], /is no URL/],
    [['user', 'show', 'ann', '--token', 'a', '--token-file', 'b'], /use only one/],
  ])('refuse %j with code 2', async (args, why) => {
    expect(await failure(2, ...args)).toMatch(why);
  });
});

describe('trivium explain', () => {
  it('says with its exit code whether it is allowed', async () => {
    await trivium('user', 'put', 'eve', '--allow', '/lab/*=get', '--prohibit', '/lab/x=get');
    expect(await asProcess('explain', 'eve', 'get', '/lab/1')).toEqual({
      code: 0,
      stdout: 'allowed: the user eve is allowed get on /lab/*\n',
      stderr: '',
    });
    expect(await asProcess('explain', 'eve', 'get', '/lab/x')).toMatchObject({
      code: 3,
      stdout: 'denied: the user eve is forbidden get on /lab/x\n',
    });
    expect((await trivium('explain', 'eve', 'get', '/lab/#', '--dialect', 'mqtt')).stdout).toContain(
      'each path that it matches is checked',
    );
    expect(await failure(1, 'explain', 'nobody', 'get', '/a')).toContain('there is no user nobody');
    expect(await asProcess('explain', 'nobody', 'get', '/a')).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('trivium session, token and audit', () => {
  it('show who is connected, and what was done', async () => {
    expect((await trivium('session', 'list')).stdout).toMatch(
      /^ID +USER +PROTOCOL +CLIENT +STATE +ADDRESS +SINCE +SUBSCRIPTIONS +QUEUED +BYTES +EXPIRES\n/,
    );
    expect(await failure(1, 'session', 'end', 'none')).toBe('trivium: there is no session none (NOT_FOUND)');
    await trivium('user', 'put', 'audited');
    expect((await trivium('audit', '--action', 'user.put', '--limit', '1')).stdout).toMatch(
      /^NUMBER +TIME +ACTION +ACTOR +TARGET +OUTCOME +PROTOCOL +ADDRESS +DETAILS\n\d+ +\S+ +user\.put +- +audited +done +admin +127\.0\.0\.1 +\{"fields":\[\],"merge":false\}\n$/,
    );
  });

  it('say that nobody can log in while security is off', async () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, 'x');
    expect(await failure(1, 'login', 'ann', '--password-file', file)).toContain('security is off');
    expect(await failure(1, 'token', 'issue', 'ann')).toContain('security is off');
  });
});

it('a gateway that is not there is named', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  expect(await failure(1, 'user', 'list', '--admin-url', url)).toBe(
    `trivium: cannot reach the gateway at ${url}: connection refused (is it running? see --admin-url)`,
  );
});

it('what answers and is no gateway is said to be none', async () => {
  const url = `http://127.0.0.1:${gateway.ports.happn}`;
  expect(await failure(1, 'user', 'list', '--admin-url', url)).toBe('trivium: the gateway answers 404; see --admin-url');
});
