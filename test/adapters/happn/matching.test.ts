// What a wildcard hears in each protocol version: measured on the genuine servers, of which each version had its own.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HappnGateway, startHappn } from '../../support/happn-wire.js';

const PATHS = ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', '/wx', 'w/1'];

/** Each pattern with what happn-3 3.1.1 and 7.3.2 heard on it, and what 8.2.7, 10.6.0 and 13.12.1 heard. */
const MEASURED: readonly (readonly [pattern: string, older: readonly string[], newer: readonly string[]])[] = [
  ['/w/*', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end'], ['/w/1', 'w/1']],
  ['/w/*/end', ['/w/1/end', '/w/1/2/end'], ['/w/1/end']],
  ['/w*', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', '/wx'], []],
  ['*end', ['/w/1/end', '/w/1/2/end'], []],
  ['/w/**', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end'], ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', 'w/1']],
  ['*', PATHS, PATHS],
];

const PROTOCOLS: readonly (readonly [name: string | null, version: 'older' | 'newer'])[] = [
  [null, 'older'],
  ['1.1.0', 'older'],
  ['happn_1', 'older'],
  ['happn_1.3.0', 'older'],
  ['happn_2', 'older'],
  ['happn_3', 'newer'],
  ['happn_4', 'newer'],
];

let gateway: HappnGateway;

beforeAll(async () => {
  gateway = await startHappn();
});

afterAll(async () => {
  await gateway.stop();
});

describe.each(PROTOCOLS)('a session of protocol %s', (protocol, version) => {
  test.each(MEASURED)('hears on %s what such sessions always heard', async (pattern, older, newer) => {
    const wire = await (await gateway.connect()).login(protocol);
    await wire.request('on', { path: `/SET@${pattern}`, data: null, options: {} });
    await Promise.all(PATHS.map((path) => wire.request('set', { path, data: { path } })));
    const heard = wire.events().map(({ _meta }) => _meta?.path);
    expect(heard).toEqual(version === 'older' ? older : newer);
    await wire.close();
  });

  test.each(MEASURED)('reads with %s any run of characters', async (pattern, older) => {
    const wire = await (await gateway.connect()).login(protocol);
    await Promise.all(PATHS.map((path) => wire.request('set', { path, data: { path } })));
    const read = await wire.list('get', { path: pattern, data: null, options: {} });
    expect(read.map(({ _meta }) => _meta?.path).toSorted()).toEqual([...older].toSorted());
    await wire.close();
  });
});
