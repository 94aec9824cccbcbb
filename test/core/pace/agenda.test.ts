// Agenda: random plans compared with a plain list.

import { describe, expect, it } from 'vitest';
import { Agenda, type Planned } from '../../../src/core/pace/agenda.js';
import { randomOf } from '../../support/random.js';

interface Item extends Planned {
  readonly name: number;
}

const items = (count: number): Item[] => Array.from({ length: count }, (_, name) => ({ name, place: -1, due: 0 }));
const names = (found: readonly Item[]): number[] => found.map(({ name }) => name).sort((a, b) => a - b);

describe('an agenda', () => {
  it('finds what is due, whatever was planned anew or taken away', () => {
    const random = randomOf(7);
    const all = items(200);
    const agenda = new Agenda<Item>();
    const times = new Map<Item, number>();
    for (let i = 0; i < 20_000; i++) {
      const item = all[random(all.length)] as Item;
      const time = random(4) === 0 ? Number.POSITIVE_INFINITY : random(1_000);
      agenda.plan(item, time);
      if (time === Number.POSITIVE_INFINITY) times.delete(item);
      else times.set(item, time);
      if (random(20) > 0) continue;
      const now = random(1_000);
      const due = [...times].filter(([, at]) => at <= now).map(([one]) => one);
      expect(names(agenda.dueAt(now, Number.POSITIVE_INFINITY))).toEqual(names(due));
      expect(agenda.size).toBe(times.size);
    }
  });

  it('names no more than it is asked for, and keeps them planned', () => {
    const agenda = new Agenda<Item>();
    for (const item of items(100)) agenda.plan(item, item.name);
    expect(agenda.dueAt(49, 10)).toHaveLength(10);
    expect(agenda.dueAt(49, 1_000)).toHaveLength(50);
    expect(agenda.size).toBe(100);
  });
});
