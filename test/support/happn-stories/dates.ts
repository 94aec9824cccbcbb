// Stories of dates. JSON carries them as texts, and no generation makes dates of these texts again: measured with each client on the
// server of its own time, as set, event, initial value and criterion.

import { expect } from 'vitest';
import { fence, found, type Item, items, listen, type Stage, stories } from './stage.js';

const DAY_MS = 86_400_000;
const day = (n: number): Date => new Date(1_700_000_000_000 + n * DAY_MS);
const text = (n: number): string => day(n).toISOString();

async function writeAndRead(stage: Stage, data: unknown): Promise<unknown> {
  await stage.client.set(stage.at('record'), data);
  return await stage.other.get(stage.at('record'));
}

/** A record a day, from the first to the fourth. */
async function days(stage: Stage): Promise<string> {
  await Promise.all([0, 1, 2, 3].map((n) => stage.client.set(stage.at(`days/${n}`), { n, date: day(n), ms: day(n).getTime() })));
  return stage.at('days/*');
}

export const DATES = stories('data', {
  'a date is read as its text': async (stage) => {
    expect(await writeAndRead(stage, { date: day(0) })).toMatchObject({ date: text(0) });
  },
  'a date within lists and objects is read as its text': async (stage) => {
    expect(await writeAndRead(stage, { deep: { list: [day(1), { date: day(2) }] } })).toMatchObject({
      deep: { list: [text(1), { date: text(2) }] },
    });
  },
  'a date alone is read as a value': async (stage) => {
    expect(await writeAndRead(stage, day(1))).toMatchObject({ value: text(1) });
  },
  'a list of dates is read as a value': async (stage) => {
    expect(await writeAndRead(stage, [day(1), day(2)])).toMatchObject({ value: [text(1), text(2)] });
  },
  'a date that is none is null': async (stage) => {
    expect(await writeAndRead(stage, { date: new Date(Number.NaN) })).toMatchObject({ date: null });
  },
  'the answer to a set has the text, and the date of the sender stays a date': async (stage) => {
    const data = { date: day(0) };
    expect(await stage.client.set(stage.at('a'), data)).toMatchObject({ date: text(0) });
    expect(data.date).toEqual(day(0));
  },
  'a date in an event is its text, stored or not': async (stage) => {
    const mine = await listen(stage.client, stage.at('a'));
    const theirs = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { date: day(0) });
    await stage.client.set(stage.at('a'), { date: day(1) }, { noStore: true });
    await stage.client.set(stage.at('a'), day(2));
    await Promise.all([fence(stage.client), fence(stage.other)]);
    for (const { heard } of [mine, theirs]) {
      expect(heard.map(({ data: { date, value } }) => date ?? value)).toEqual([text(0), text(1), text(2)]);
    }
  },
  'a date is merged as its text': async (stage) => {
    await stage.client.set(stage.at('a'), { first: day(0) });
    expect(await stage.client.set(stage.at('a'), { second: day(1) }, { merge: true })).toMatchObject({ first: text(0), second: text(1) });
    expect(await stage.client.set(stage.at('a'), day(2), { merge: true })).toMatchObject({ first: text(0), value: text(2) });
  },
  'a date in an initial value is its text': async (stage) => {
    await stage.client.set(stage.at('a'), { date: day(0) });
    const { response } = await listen(stage.other, stage.at('a'), { initialCallback: true });
    expect((response as Item[]).map(({ date }) => date)).toEqual([text(0)]);
  },
  'dates are found by equality and by choice, given as a date or as its text': async (stage) => {
    const path = await days(stage);
    for (const date of [day(2), text(2)]) {
      expect(await found(stage.other, path, { date })).toEqual([2]);
      expect(await found(stage.other, path, { date: { $eq: date } })).toEqual([2]);
      expect(await found(stage.other, path, { date: { $in: [date, day(0)] } })).toEqual([0, 2]);
      expect(await found(stage.other, path, { date: { $ne: date } })).toEqual([0, 1, 3]);
    }
  },
  'dates are found by range, given as a date or as its text': async (stage) => {
    const path = await days(stage);
    for (const date of [day(2), text(2)]) {
      expect(await found(stage.other, path, { date: { $gte: date } })).toEqual([2, 3]);
      expect(await found(stage.other, path, { date: { $gt: date } })).toEqual([3]);
      expect(await found(stage.other, path, { date: { $lt: date } })).toEqual([0, 1]);
      expect(await found(stage.other, path, { date: { $gt: day(0), $lte: date } })).toEqual([1, 2]);
      expect(await found(stage.other, path, { 'data.date': { $gte: date } })).toEqual([2, 3]);
    }
  },
  'a date that was stored as a number is found by numbers, not by dates': async (stage) => {
    const path = await days(stage);
    expect(await found(stage.other, path, { ms: { $gte: day(2).getTime() } })).toEqual([2, 3]);
    expect(await found(stage.other, path, { ms: { $gte: day(2) } })).toEqual([]);
    expect(await found(stage.other, path, { date: { $gte: day(2).getTime() } })).toEqual([]);
  },
  'the times of a record are numbers: they are found by numbers': async (stage) => {
    const path = await days(stage);
    expect(await found(stage.other, path, { '_meta.created': { $gte: Date.now() - DAY_MS } })).toEqual([0, 1, 2, 3]);
    expect(await found(stage.other, path, { '_meta.created': { $gte: new Date(0) } })).toEqual([]);
    expect(await found(stage.other, path, { '_meta.created': { $lte: new Date(Date.now() + DAY_MS) } })).toEqual([]);
  },
  'records come in the order of their dates': async (stage) => {
    const sorted = await items(stage.other, await days(stage), { options: { sort: { date: -1 } } });
    expect(sorted.map(({ n }) => n)).toEqual([3, 2, 1, 0]);
  },
  'a removal takes what is before a date': async (stage) => {
    const path = await days(stage);
    expect(await stage.client.remove(path, { criteria: { date: { $lt: day(2) } } })).toMatchObject({ removed: 2 });
    expect(await found(stage.other, path, {})).toEqual([2, 3]);
  },
  'a date in the meta of an event is its text': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { meta: { when: day(0) } });
    await fence(stage.other);
    expect(heard.map(({ meta }) => meta.when)).toEqual([text(0)]);
  },
});
