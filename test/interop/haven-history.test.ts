// History over Haven against the running gateway, in both shapes, both framings, over TCP and over websocket: reads as of a moment, and
// watches from a revision on.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { type Answer, type Fields, HavenClient, type HavenClientOptions, type HavenEvent } from '../support/haven-client.js';

const HISTORY = JSON.stringify([{ pattern: '/h/*', revisions: 5 }]);

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--history', HISTORY] });
});

afterAll(async () => {
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

/** One way to speak Haven. */
interface Speaker {
  data(type: string, path: string, options?: Fields): Promise<Answer>;
  /** Read-timestamp. */
  past(path: string, time: unknown, revision?: number | null, options?: Fields): Promise<Answer>;
  events(): Promise<HavenEvent[]>;
}

const VERBS: { readonly [type: string]: number } = { read: 1, write: 3, delete: 6, watch: 7 };

function mapSpeaker(client: HavenClient): Speaker {
  return {
    data: (type, path, options = {}) => client.ask({ action: 'query', type, path, ...options }),
    past: (path, time, revision = null, options = {}) =>
      client.ask({ action: 'query', type: 'read', path, mode: 'rt', time, revision, ...options }),
    events: async () => (await client.heartbeat()).result,
  };
}

function arraySpeaker(client: HavenClient): Speaker {
  const ask = async (verb: string, mode: number, time: unknown, path: string, value: unknown, options: Fields): Promise<Answer> => {
    const [status, code, body] = await client.ask([2, VERBS[verb], mode, time, path, value, options]);
    if (status !== 0x14) return { result: false, error: { code, ...body } };
    return verb === 'read' ? { result: true, value: body } : { result: true, ...body };
  };
  return {
    data: (type, path, { value = null, ...options } = {}) => ask(type, 0x0c, null, path, value, options),
    past: (path, time, revision = null, options = {}) => ask('read', 0x1c, time, path, null, { revision, ...options }),
    events: async () => (await client.ask([7]))[2],
  };
}

const ROADS: { readonly name: string; readonly options: () => HavenClientOptions }[] = [
  { name: 'TCP, prefixed', options: () => ({ framing: 'prefixed' }) },
  { name: 'TCP, bare', options: () => ({ framing: 'bare' }) },
  { name: 'websocket', options: () => ({ url: `ws://127.0.0.1:${gateway.ports.happn}/haven` }) },
];
const SHAPES = [
  { name: 'map', speaker: mapSpeaker },
  { name: 'array', speaker: arraySpeaker },
];

let stories = 0;

describe.each(ROADS)('$name', ({ options }) => {
  describe.each(SHAPES)('$name shape', ({ speaker }) => {
    const place = (): string => `/h/${++stories}`;

    async function speak(): Promise<Speaker> {
      return speaker(await HavenClient.connect(gateway.ports.haven, options()));
    }

    /** The clock of the gateway has moved on. */
    async function later(speak: Speaker, than: number): Promise<void> {
      while ((await speak.data('write', '/clock', { value: 0 })).modified <= than);
    }

    /** Writes when the clock of the gateway has moved on. */
    async function written(speak: Speaker, path: string, value: unknown, after: number): Promise<Answer> {
      await later(speak, after);
      return speak.data('write', path, { value });
    }

    it('a record is read as of a time, within an interval, and as of a revision', async () => {
      const haven = await speak();
      const at = place();
      const one = await haven.data('write', at, { value: 'one' });
      const two = await written(haven, at, 'two', one.modified);
      await haven.data('delete', at);
      expect(await haven.past(at, one.modified)).toMatchObject({ value: 'one' });
      expect(await haven.past(at, [0, one.modified])).toMatchObject({ value: 'one' });
      expect(await haven.past(at, two.modified - 1)).toMatchObject({ value: 'one' });
      expect(await haven.past(at, null, two.revision)).toMatchObject({ value: 'two' });
      expect((await haven.past(at, null, two.revision + 1)).error).toMatchObject({ code: 7 });
      expect((await haven.past(at, [one.modified, Date.now() + 3_600_000])).error).toMatchObject({ code: 7 });
    });

    it('records are read as of a moment by pattern', async () => {
      const haven = await speak();
      const at = place();
      const one = await haven.data('write', `${at}/1`, { value: { n: 1 } });
      const two = await written(haven, `${at}/2`, { n: 2 }, one.modified);
      await later(haven, two.modified);
      await haven.data('delete', `${at}/*`);
      await written(haven, `${at}/3`, { n: 3 }, two.modified);
      const items = async (time: unknown, revision?: number, options: Fields = {}): Promise<unknown> => {
        const { value, items = value?.items, more } = await haven.past(`${at}/*`, time, revision, options);
        return [items.map(({ path, value: shown }: Fields) => [path, (shown as Fields).n]), (more ?? value?.more) === true];
      };
      const [first, second] = [
        [`${at}/1`, 1],
        [`${at}/2`, 2],
      ];
      expect(await items(one.modified)).toEqual([[first], false]);
      expect(await items([0, two.modified])).toEqual([[first, second], false]);
      expect(await items(null, two.revision)).toEqual([[first, second], false]);
      expect(await items(null, two.revision, { limit: 1 })).toEqual([[first], true]);
      expect(await items(null, two.revision, { after: `${at}/1` })).toEqual([[second], false]);
      expect(await items(null, two.revision, { criteria: { n: { $lt: 2 } } })).toEqual([[first], false]);
      expect(await items(null, two.revision, { sort: { n: -1 } })).toEqual([[second, first], false]);
    });

    it('what cannot be answered is refused', async () => {
      const haven = await speak();
      const at = place();
      const { revision, modified } = await haven.data('write', at, { value: 0 });
      for (let n = 1; n <= 5; n++) await haven.data('write', at, { value: n });
      expect((await haven.past(at, null, revision)).error).toMatchObject({ code: 9, name: 'OUT_OF_HISTORY' });
      expect((await haven.past(at, modified - 86_400_000)).error).toMatchObject({ code: 9, name: 'OUT_OF_HISTORY' });
      expect((await haven.past('/elsewhere', modified)).error).toMatchObject({ code: 9, name: 'UNSUPPORTED' });
      expect((await haven.past('/*', modified)).error).toMatchObject({ code: 9, name: 'UNSUPPORTED' });
      expect((await haven.past(`${at}*`, null, revision)).error).toMatchObject({ code: 9, name: 'OUT_OF_HISTORY' });
      for (const time of [Date.now() + 3_600_000, [5, 4], [1], 'now', -1, null]) {
        expect((await haven.past(at, time)).error).toMatchObject({ code: 1 });
      }
      expect((await haven.past(at, modified, revision)).error).toMatchObject({ code: 1 });
      expect((await haven.past(at, null, revision + 1_000_000)).error).toMatchObject({ code: 1 });
    });

    it('a watch tells what happened behind a revision, then what happens', async () => {
      const haven = await speak();
      const at = place();
      const { revision } = await haven.data('write', `${at}/a`, { value: 1 });
      await haven.data('write', `${at}/b`, { value: 2 });
      await haven.data('delete', `${at}/a`);
      const answer = await haven.data('watch', `${at}/*`, { since: revision, initial: true });
      expect(answer).toMatchObject({ result: true, revision: revision + 2 });
      expect(answer).not.toHaveProperty('missed');
      await haven.data('write', `${at}/c`, { value: 3 });
      const events = await haven.events();
      expect(events.map(({ type, path, revision: number }) => [type, path, number - revision])).toEqual([
        ['write', `${at}/b`, 1],
        ['delete', `${at}/a`, 2],
        ['write', `${at}/c`, 3],
      ]);
      expect(events[0]).toMatchObject({ value: 2, by: '', time: expect.any(Number) });
    });

    it('a watch from too far back says so, and begins with the records where that was asked for', async () => {
      const haven = await speak();
      const at = place();
      const { revision } = await haven.data('write', at, { value: 0 });
      for (let n = 1; n <= 7; n++) await haven.data('write', at, { value: n });
      expect(await haven.data('watch', at, { since: revision })).toMatchObject({ missed: true, revision: revision + 7 });
      expect(await haven.events()).toEqual([]);
      expect(await haven.data('watch', at, { since: revision, initial: true })).toMatchObject({ missed: true });
      expect(await haven.events()).toMatchObject([{ type: 'write', value: 7 }]);
      expect(await haven.data('watch', '/elsewhere/*', { since: revision })).toMatchObject({ missed: true });
    });
  });
});

it('history is there after a kill, with what was answered', async () => {
  const before = await HavenClient.connect(gateway.ports.haven);
  const { revision } = await before.write('/h/killed', 'one');
  await before.write('/h/killed', 'two');
  await before.delete('/h/killed');
  await gateway.restart({ kill: true });
  const client = await HavenClient.connect(gateway.ports.haven);
  const past = (number: number): Promise<Answer> =>
    client.ask({ action: 'query', type: 'read', path: '/h/killed', mode: 'rt', revision: number });
  expect(await past(revision)).toMatchObject({ value: 'one' });
  expect(await past(revision + 1)).toMatchObject({ value: 'two' });
  expect(await past(revision + 2)).toMatchObject({ error: { code: 7 } });
  const { watch } = await client.data('watch', '/h/killed', { since: revision });
  expect((await client.events(2)).map(({ type, watch: of }) => [type, of])).toEqual([
    ['write', watch],
    ['delete', watch],
  ]);
});
