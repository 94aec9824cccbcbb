// Wrong passwords make the next attempt later, from that address and for that user; a lock is there when it is asked for.

import { describe, expect, it } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { RequestError } from '../../src/core/errors.js';
import { networkOf } from '../../src/core/sockets/addresses.js';
import { delayAfter, FREE_FAILURES, Guesses, type LockoutOptions, MAX_DELAY_MS, MAX_HELD_MS } from '../../src/security/guesses.js';
import { SetClock } from '../support/set-clock.js';

function setUp(lockout: LockoutOptions = { attempts: 0, ms: 0 }, maxKept = 100) {
  const clock = new SetClock();
  const counters = new Counters();
  return { clock, counters, guesses: new Guesses(clock, counters, lockout, maxKept) };
}

function code(attempt: () => unknown): string | null {
  try {
    attempt();
    return null;
  } catch (error) {
    return (error as RequestError).code;
  }
}

describe('wrong passwords', () => {
  it('cost nothing at first, then more and more, up to a minute', () => {
    expect([1, 2, 3, 4, 5, 6].map(delayAfter)).toEqual([0, 0, 0, 250, 500, 1_000]);
    expect(delayAfter(1_000)).toBe(MAX_DELAY_MS);
  });

  it('delay the next attempt, and those that come with it one after the other', () => {
    const { guesses } = setUp();
    for (let i = 0; i <= FREE_FAILURES; i++) {
      expect(guesses.begin('a', 'bob')).toBe(0);
      guesses.failed('a', 'bob');
    }
    expect([guesses.begin('a', 'bob'), guesses.begin('a', 'bob'), guesses.begin('a', 'bob')]).toEqual([250, 500, 750]);
  });

  it('from one address leave the owner at another alone, and other users at the same', () => {
    const { guesses } = setUp();
    for (let i = 0; i < 10; i++) guesses.failed('attacker', 'bob');
    expect(guesses.begin('home', 'bob')).toBe(0);
    expect(guesses.begin('attacker', 'eve')).toBe(0);
  });

  it('from all addresses of one network of version 6 count together', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2');
    expect(networkOf('2001:db8::7')).toBe('2001:db8:0:0');
    expect(networkOf('2001:db8:1:2::')).toBe('2001:db8:1:2');
    expect(networkOf('::1')).toBe('0:0:0:0');
    expect(networkOf('::ffff:10.0.0.1')).toBe('10.0.0.1');
    expect(networkOf('10.0.0.1')).toBe('10.0.0.1');
    const { guesses } = setUp();
    for (let i = 0; i < 4; i++) guesses.failed(`2001:db8:1:2::${i}`, 'bob');
    expect(guesses.begin('2001:db8:1:2::99', 'bob')).toBe(250);
    expect(guesses.begin('2001:db8:1:3::1', 'bob')).toBe(0);
  });

  it('are forgotten with the right one, and after a quarter of an hour', () => {
    const { clock, guesses } = setUp();
    for (let i = 0; i < 5; i++) guesses.failed('a', 'bob');
    expect(guesses.begin('a', 'bob')).toBeGreaterThan(0);
    guesses.succeeded('a', 'bob');
    expect(guesses.begin('a', 'bob')).toBe(0);
    for (let i = 0; i < 30; i++) guesses.failed('a', 'bob');
    expect(code(() => guesses.begin('a', 'bob'))).toBe('OVERLOADED');
    clock.pass(15 * 60_000);
    expect(guesses.begin('a', 'bob')).toBe(0);
  });

  it('D2 a thousand of them get a few dozen looked at in ten minutes, and the rest refused', () => {
    const { clock, counters, guesses } = setUp();
    let looked = 0;
    for (let i = 0; i < 1_000; i++) {
      if (code(() => guesses.begin('a', 'bob')) === null) {
        looked += 1;
        guesses.failed('a', 'bob');
      }
      clock.pass(600);
    }
    expect(looked).toBeLessThan(25);
    expect(counters.counter('logins_refused_guessing_total', '').value).toBe(1_000 - looked);
    expect(counters.counter('logins_failed_total', '').value).toBe(looked);
  });

  it('never hold an attempt longer than a client waits', () => {
    const { guesses } = setUp();
    const held: number[] = [];
    for (let i = 0; i < 200; i++) {
      guesses.failed('a', 'bob');
      try {
        held.push(guesses.begin('a', 'bob'));
      } catch (error) {
        expect((error as RequestError).message).toMatch(/try again in \d+ s/);
      }
    }
    expect(Math.max(...held)).toBeLessThanOrEqual(MAX_HELD_MS);
  });

  it('are kept of so many only: who has been quiet longest is forgotten', () => {
    const { counters, guesses } = setUp(undefined, 10);
    for (let user = 0; user < 50; user++) for (let i = 0; i < 4; i++) guesses.failed('a', `user${user}`);
    expect(counters.gauges.get('login_guessers')?.read()).toBe(10);
    expect(guesses.begin('a', 'user49')).toBe(250);
    expect(guesses.begin('a', 'user0')).toBe(0);
  });
});

describe('a lock', () => {
  const lockout = { attempts: 4, ms: 600_000 };

  it('is there only when it is asked for', () => {
    const { guesses } = setUp();
    for (let i = 0; i < 100; i++) guesses.failed(`address ${i}`, 'bob');
    expect(guesses.begin('home', 'bob')).toBe(0);
  });

  it('refuses everybody after so many failures, until its time is over; attempts do not make it longer', () => {
    const { clock, guesses } = setUp(lockout);
    for (let i = 0; i < 4; i++) {
      expect(guesses.begin(`address${i}`, 'bob')).toBe(0);
      guesses.failed(`address${i}`, 'bob');
    }
    for (let i = 0; i < 9; i++) {
      expect(() => guesses.begin('home', 'bob')).toThrow(new RequestError('ACCOUNT_LOCKED', 'Account locked out'));
      guesses.failed('home', 'bob');
      clock.pass(60_000);
    }
    clock.pass(60_000);
    expect(code(() => guesses.begin('elsewhere', 'bob'))).toBeNull();
  });

  it('counts from the start again after the right password', () => {
    const { guesses } = setUp(lockout);
    for (let i = 0; i < 10; i++) {
      for (let n = 0; n < 3; n++) guesses.failed('a', 'bob');
      guesses.succeeded('a', 'bob');
      expect(guesses.begin('a', 'bob')).toBe(0);
    }
  });
});
