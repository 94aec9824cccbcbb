import { describe, expect, it, onTestFinished } from 'vitest';
import { INBOUND_LIMITS, InboundQueue } from '../../src/core/engine/inbound-queue.js';
import { Intake } from '../../src/core/engine/intake.js';
import type { Request } from '../../src/core/message.js';
import { Ring } from '../../src/core/pace/ring.js';
import { parseQuery } from '../../src/core/query/query.js';
import { startEngine, until } from '../support/core-harness.js';

const request = (name: string): Request => ({ name }) as unknown as Request;

class CountedRing extends Ring<Request> {
  moves = 0;

  override push(item: Request): boolean {
    this.moves += 1;
    return super.push(item);
  }
}

function backlogOf(...names: string[]): CountedRing {
  const ring = new CountedRing();
  for (const name of names) ring.push(request(name));
  ring.moves = 0;
  return ring;
}

describe('what was held back', () => {
  it('goes before everything that has come since, and nothing of it is moved', () => {
    const readers = { pauseReading: () => undefined, resumeReading: () => undefined };
    const intake = new Intake(new InboundQueue(INBOUND_LIMITS, readers));
    const [first, second] = [backlogOf('a1', 'a2', 'a3'), backlogOf('b1', 'b2')];
    intake.release(first);
    intake.release(backlogOf());
    expect(intake.next()).toMatchObject({ name: 'a1' });
    intake.release(second);
    const names = [];
    while (intake.hasNext) names.push((intake.next() as unknown as { readonly name: string }).name);
    expect(names).toEqual(['b1', 'b2', 'a2', 'a3']);
    expect(intake.next()).toBeUndefined();
    expect(first.moves + second.moves).toBe(0);
  });
});

describe('searches of somebody who has left', () => {
  it('are not made', async () => {
    const house = await startEngine({});
    onTestFinished(() => house.stop());
    const session = house.session();
    await session.set('r/1', { n: 1 });
    house.store.scansHeld = true;
    for (let i = 0; i < 100; i++) void session.find('r/*', { query: parseQuery({ criteria: { n: 1 } }) });
    await until(() => house.store.reading === 1);
    session.close(null);
    // The slice that was being read then is; the others would wait for ever.
    house.store.releaseSlice();
    await until(() => house.store.openScans === 0);
    expect(house.store.reading).toBe(0);
  });
});
