import { queryObjects } from 'node:v8';
import { beforeEach, describe, expect, it } from 'vitest';
import { Admission, type Exceeded, Visit } from '../../../src/adapters/mqtt/admission.js';

const LIMITS = { maxConnections: 10, maxConnecting: 4, maxConnectionsPerAddress: 5, maxConnectingPerAddress: 3, maxConnectsPerSecond: 0 };
const HERE = '127.0.0.1';

let time: number;
let admission: Admission;
/** Visits that may be read, in order. */
let begun: Visit[];

beforeEach(() => {
  time = 1;
  begun = [];
  admission = new Admission(LIMITS, (address) => address === HERE, { monotonic: () => time });
});

/** A connection comes; the limit that it is over, or its visit. */
function come(address: string): Visit | Exceeded {
  const visit = admission.accept();
  if (!(visit instanceof Visit)) return visit;
  const exceeded = admission.identify(visit, address, 5_000);
  if (exceeded !== null) {
    visit.leave();
    return exceeded;
  }
  admission.enter(visit, (one) => begun.push(one));
  return visit;
}

/** Comes, and is accepted. */
function arrive(address: string): Visit {
  const visit = come(address) as Visit;
  visit.arrive();
  return visit;
}

const times = (count: number): unknown[] => Array(count).fill(null);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the limit of connections', () => {
  it('in all refuses one more, of any address, until one leaves', () => {
    const visits = times(10).map((_, i) => arrive(i % 2 === 0 ? HERE : `192.0.2.${i}`));
    expect(come(HERE)).toBe('maxConnections');
    expect(come('192.0.2.77')).toBe('maxConnections');
    visits[3]?.leave();
    expect(come('192.0.2.77')).toBeInstanceOf(Visit);
  });

  it('of one address refuses one more, and no other address', () => {
    const visits = times(5).map(() => arrive('192.0.2.1'));
    expect(come('192.0.2.1')).toBe('maxConnectionsPerAddress');
    expect(come('192.0.2.2')).toBeInstanceOf(Visit);
    visits[0]?.leave();
    expect(come('192.0.2.1')).toBeInstanceOf(Visit);
  });

  it('of one address without a login refuses one more, until one arrives or leaves', () => {
    const [first, second] = times(3).map(() => come('192.0.2.1')) as Visit[];
    expect(come('192.0.2.1')).toBe('maxConnectingPerAddress');
    first?.arrive();
    expect(come('192.0.2.1')).toBeInstanceOf(Visit);
    expect(come('192.0.2.1')).toBe('maxConnectingPerAddress');
    second?.leave();
    expect(come('192.0.2.1')).toBeInstanceOf(Visit);
  });

  it('takes a network of IPv6 for one address', () => {
    for (const end of ['1', '2', 'ffff:1']) come(`2001:db8::${end}`);
    expect(come('2001:db8::3')).toBe('maxConnectingPerAddress');
    expect(come('2001:db8:0:1::3')).toBeInstanceOf(Visit);
  });

  it('by address leaves those alone who stand for many', () => {
    for (const _ of times(9)) expect(come(HERE)).toBeInstanceOf(Visit);
  });
});

describe('the crowd before the login', () => {
  it('waits for room, in the order of its coming, and its time begins when it is let in', async () => {
    const visits = times(7).map((_, i) => come(`192.0.2.${i}`) as Visit);
    expect(begun).toEqual(visits.slice(0, 4));
    expect(admission.isCrowded).toBe(true);
    time = 50;
    visits[2]?.arrive();
    visits[0]?.leave();
    expect(begun).toHaveLength(4);
    await turn();
    expect(begun).toEqual(visits.slice(0, 6));
    expect(begun.map(({ openedAt }) => openedAt)).toEqual([1, 1, 1, 1, 50, 50]);
  });

  it('is left by those who do not wait for it', async () => {
    const visits = times(6).map((_, i) => come(`192.0.2.${i}`) as Visit);
    visits[4]?.leave();
    visits[1]?.arrive();
    await turn();
    expect(begun).toEqual([visits[0], visits[1], visits[2], visits[3], visits[5]]);
  });
});

it('nothing is kept of those that went while they waited', () => {
  const crowd = times(LIMITS.maxConnecting).map(() => come(HERE));
  for (let n = 0; n < 1_000; n++) (come(HERE) as Visit).leave();
  expect(begun).toEqual(crowd);
  expect(queryObjects(Visit)).toBeLessThan(100);
});

describe('what is counted', () => {
  it('is let go once, whatever the order of the ends', async () => {
    const visits = times(7).map((_, i) => come(`192.0.2.${i % 3}`));
    for (const visit of visits) {
      if (!(visit instanceof Visit)) continue;
      visit.leave();
      visit.arrive();
      visit.leave();
    }
    await turn();
    expect([admission.open, admission.addresses, admission.isCrowded]).toEqual([0, 0, false]);
    for (const _ of times(3)) expect(come('192.0.2.1')).toBeInstanceOf(Visit);
  });

  it('is nothing of an address that is refused', () => {
    for (const _ of times(3)) come('192.0.2.1');
    for (const _ of times(100)) come('192.0.2.1');
    expect([admission.open, admission.addresses]).toEqual([3, 1]);
  });
});
