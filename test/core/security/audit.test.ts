// The audit: what it keeps and writes, and that refusals are bounded in number and cannot push out what was done.

import { beforeEach, describe, expect, it } from 'vitest';
import { Counters } from '../../../src/core/counters.js';
import { AUDIT_LIMITS, Audit, type AuditEvent } from '../../../src/core/security/audit.js';
import { keptLog } from '../../support/silent-log.js';

const EVENT: AuditEvent = {
  action: 'user.put',
  actor: '_ADMIN',
  target: 'ann',
  refusal: null,
  protocol: 'admin',
  address: '127.0.0.1:1',
  details: { fields: ['password'] },
};
const REFUSED: AuditEvent = { ...EVENT, action: 'login', actor: '', refusal: 'NOT_AUTHENTICATED' };
const ALL = { after: null, limit: 100_000, action: null, actor: null };

let now: number;
let log: ReturnType<typeof keptLog>;
let counters: Counters;
let audit: Audit;

beforeEach(() => {
  now = 5_000;
  log = keptLog();
  counters = new Counters();
  audit = new Audit({ now: () => now, monotonic: () => now }, log, counters);
});

describe('an entry', () => {
  it('has a number and a time, and is a line of the log that can be found', () => {
    audit.add(EVENT);
    audit.add({ ...EVENT, target: 'ben' });
    expect(audit.list(ALL)).toEqual([
      { ...EVENT, number: 1, time: 5_000 },
      { ...EVENT, target: 'ben', number: 2, time: 5_000 },
    ]);
    expect(log.lines[0]).toEqual({ level: 'info', text: 'user.put done', fields: { audit: true, ...EVENT, number: 1 } });
    expect(counters.counter('audit_total{action="user.put",outcome="done"}', '').value).toBe(2);
  });

  it('cuts what a peer could make long', () => {
    audit.add({ ...REFUSED, target: 'x'.repeat(10_000) });
    expect(audit.list(ALL)[0]?.target).toHaveLength(AUDIT_LIMITS.textLength);
  });
});

describe('the list', () => {
  beforeEach(() => {
    for (let at = 1; at <= 10; at += 1) audit.add({ ...EVENT, actor: at % 2 === 0 ? 'even' : 'odd' });
  });
  const numbers = (filter: object): number[] => audit.list({ ...ALL, ...filter }).map(({ number }) => number);

  it('shows the newest, or goes on behind a number', () => {
    expect(numbers({ limit: 3 })).toEqual([8, 9, 10]);
    expect(numbers({ limit: 3, after: 0 })).toEqual([1, 2, 3]);
    expect(numbers({ limit: 3, after: 8 })).toEqual([9, 10]);
  });

  it('is filtered by who and what', () => {
    expect(numbers({ actor: 'even', limit: 2 })).toEqual([8, 10]);
    expect(numbers({ action: 'group.put' })).toEqual([]);
  });
});

describe('its bounds', () => {
  it('are so many refusals a second; the others are counted', () => {
    for (let at = 0; at < 1_000; at += 1) audit.add(REFUSED);
    expect(audit.list(ALL)).toHaveLength(AUDIT_LIMITS.refusalsPerSecond);
    expect(log.lines).toHaveLength(AUDIT_LIMITS.refusalsPerSecond);
    expect(counters.counter('audit_left_out_total', '').value).toBe(1_000 - AUDIT_LIMITS.refusalsPerSecond);
    expect(counters.counter('audit_total{action="login",outcome="refused"}', '').value).toBe(1_000);
    now += 1_000;
    audit.add(REFUSED);
    expect(audit.list(ALL)).toHaveLength(AUDIT_LIMITS.refusalsPerSecond + 1);
  });

  it('keep what was done, however many are refused', () => {
    audit.add(EVENT);
    for (let at = 0; at < 2 * AUDIT_LIMITS.refused; at += 1) {
      now += 1_000;
      audit.add(REFUSED);
    }
    const kept = audit.list(ALL);
    expect(kept.length).toBeLessThanOrEqual(1 + AUDIT_LIMITS.refused);
    expect(kept[0]).toMatchObject({ action: 'user.put', number: 1 });
    expect(kept.at(-1)).toMatchObject({ number: 1 + 2 * AUDIT_LIMITS.refused });
  });

  it('let the oldest of what was done give way', () => {
    for (let at = 0; at < AUDIT_LIMITS.done + 1; at += 1) audit.add(EVENT);
    const kept = audit.list(ALL);
    expect(kept.length).toBeLessThanOrEqual(AUDIT_LIMITS.done);
    expect(kept.at(-1)?.number).toBe(AUDIT_LIMITS.done + 1);
  });
});
