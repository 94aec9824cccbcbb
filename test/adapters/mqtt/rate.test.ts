import { describe, expect, it } from 'vitest';
import { PublishRate, Rate } from '../../../src/adapters/mqtt/rate.js';

describe('a rate', () => {
  it('gives what one second brings at once, and then in time', () => {
    const rate = new Rate(10, 0);
    for (let i = 0; i < 10; i++) expect(rate.take(1, 0)).toBe(0);
    expect(rate.take(1, 0)).toBe(100);
    expect(rate.take(2, 0)).toBe(300);
    expect(rate.take(0, 300)).toBe(0);
    expect(rate.take(1, 300)).toBe(100);
  });

  it('does not save up more than a second brings', () => {
    const rate = new Rate(10, 0);
    expect(rate.take(10, 3_600_000)).toBe(0);
    expect(rate.take(1, 3_600_000)).toBe(100);
  });

  it('lets more than a second brings be taken at once, and be waited for', () => {
    const rate = new Rate(1_000, 0);
    expect(rate.take(5_000, 0)).toBe(4_000);
    expect(rate.take(1, 4_000)).toBe(1);
  });

  it('gives one only when there is one, and does not hold refusals against anybody', () => {
    const rate = new Rate(2, 0);
    expect([rate.takeOne(0), rate.takeOne(0)]).toEqual([true, true]);
    for (let i = 0; i < 100; i++) expect(rate.takeOne(i)).toBe(false);
    expect(rate.isFull(500)).toBe(false);
    expect(rate.takeOne(500)).toBe(true);
    expect(rate.isFull(1_500)).toBe(true);
  });
});

describe('a rate of messages and bytes', () => {
  it('is over when one of them is', () => {
    const rate = new PublishRate(2, 100, 0);
    expect([rate.take(10, 0), rate.take(10, 0), rate.take(10, 0)]).toEqual([0, 0, 500]);
    expect(rate.take(300, 1_000)).toBe(2_000);
  });

  it('is none for what may be any number', () => {
    expect(new PublishRate(0, 100, 0).take(100, 0)).toBe(0);
    const messages = new PublishRate(1, 0, 0);
    expect([messages.take(1_000_000, 0), messages.take(1, 0)]).toEqual([0, 1_000]);
  });
});
