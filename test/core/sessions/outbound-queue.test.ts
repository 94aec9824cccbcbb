import { describe, expect, it } from 'vitest';
import { Payload } from '../../../src/core/data/payload.js';
import { Publication, UNSTORED } from '../../../src/core/message.js';
import { OUTBOUND_LIMITS, OutboundQueue } from '../../../src/core/sessions/outbound-queue.js';
import { formats } from '../../support/core-harness.js';

function publication(bytes: number): Publication {
  const payload = Payload.fromBytes(new Uint8Array(bytes), formats.raw);
  return new Publication('set', 'a', payload, payload, null, 0, 0, 0, UNSTORED, '', null, '', 'all');
}

describe('an outbound queue', () => {
  it('counts exactly what it holds, whatever happens to a payload meanwhile', () => {
    const queue = new OutboundQueue(OUTBOUND_LIMITS);
    const message = publication(100);
    queue.push(message, null);
    const { bytes } = queue;
    expect(bytes).toBeGreaterThanOrEqual(100);
    (message.payload as Payload).text = 'x'.repeat(10_000);
    queue.shift();
    expect([queue.bytes, queue.length]).toEqual([0, 0]);
  });

  it('is overflown by bytes and by items', () => {
    const limits = { ...OUTBOUND_LIMITS, closeBytes: 1_000, closeItems: 3 };
    const byBytes = new OutboundQueue(limits);
    byBytes.push(publication(500), null);
    expect(byBytes.overflown).toBe(false);
    byBytes.push(publication(500), null);
    expect(byBytes.overflown).toBe(true);
    const byItems = new OutboundQueue({ ...limits, closeBytes: 1e9 });
    for (let i = 0; i < 4; i++) byItems.push(publication(1), null);
    expect(byItems.overflown).toBe(true);
    byItems.clear();
    expect([byItems.overflown, byItems.bytes]).toEqual([false, 0]);
  });

  it('keeps one finished frame per key with a publication', () => {
    const message = publication(1);
    expect(message.frame('a:1')).toBeUndefined();
    message.keepFrame('a:1', 'one');
    message.keepFrame('b:1', 'two');
    message.keepFrame('b:2', 'three');
    expect(['a:1', 'b:1', 'b:2', 'b:3'].map((key) => message.frame(key))).toEqual(['one', 'two', 'three', undefined]);
  });
});
