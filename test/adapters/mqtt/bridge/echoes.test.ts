// Own messages that a 3.1.1 remote sends back are recognised, each once, and nobody else's are taken for them.

import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ECHO_WITHIN_MS, ECHOES_MAX, Echoes } from '../../../../src/adapters/mqtt/bridge/echoes.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

let now = 0;
let echoes: Echoes;

beforeEach(() => {
  now = 0;
  echoes = new Echoes(() => now);
});

/** At QoS 0, or with a packet id at QoS 1. */
const back = (topic: string, payload: string, packetId = 0, dup = false): boolean =>
  echoes.isEcho(topic, bytes(payload), packetId > 0 ? 1 : 0, packetId, dup);

describe('an echo', () => {
  it('is taken once: the same message of somebody else goes on', () => {
    echoes.expect('a', bytes('x'), 0, 0);
    expect([back('a', 'x'), back('a', 'x')]).toEqual([true, false]);
  });

  it('is taken as often as the message was sent', () => {
    for (let i = 0; i < 3; i++) echoes.expect('a', bytes('x'), 0, 0);
    expect([1, 2, 3, 4].map(() => back('a', 'x'))).toEqual([true, true, true, false]);
  });

  it('is of the topic and the bytes', () => {
    echoes.expect('a', bytes('x'), 0, 0);
    expect([back('b', 'x'), back('a', 'y'), back('a', '')]).toEqual([false, false, false]);
    expect(back('a', 'x')).toBe(true);
  });

  it('comes at the level that was agreed upon, and is no message of another one', () => {
    echoes.expect('a', bytes('x'), 0, 0);
    expect(back('a', 'x', 7)).toBe(false);
    expect(back('a', 'x')).toBe(true);
  });

  it('of QoS 0 is not waited for longer than a minute', () => {
    echoes.expect('a', bytes('x'), 0, 0);
    now += (ECHO_WITHIN_MS[0] as number) + 1;
    expect(back('a', 'x')).toBe(false);
    expect(echoes.length).toBe(0);
  });

  it('of a repeated message is expected once', () => {
    echoes.expect('a', bytes('x'), 1, 7);
    echoes.expect('a', bytes('x'), 1, 7);
    expect([back('a', 'x', 1), back('a', 'x', 2)]).toEqual([true, false]);
  });

  it('is taken again when the remote repeats it, until its packet id means another message', () => {
    echoes.expect('a', bytes('x'), 1, 0);
    expect(back('a', 'x', 5)).toBe(true);
    expect(back('a', 'x', 5, true)).toBe(true);
    expect(back('a', 'y', 5, true)).toBe(false);
    expect(back('a', 'x', 5, true)).toBe(false);
  });

  it('does not come any more when the remote has forgotten the session', () => {
    echoes.expect('a', bytes('x'), 0, 0);
    echoes.clear();
    expect(back('a', 'x')).toBe(false);
  });

  it('is forgotten when too many are waited for, the oldest first', () => {
    for (let i = 0; i <= ECHOES_MAX; i++) echoes.expect(`t/${i}`, bytes('x'), 0, 0);
    expect(echoes.length).toBe(ECHOES_MAX);
    expect([back('t/0', 'x'), back('t/1', 'x')]).toEqual([false, true]);
  });
});

describe('a remote that keeps the order', () => {
  it('never makes an echo pass, nor swallows a message of somebody else', () => {
    // What the bridge and others publish, as the remote serialises it; it sends everything to the bridge in this order.
    const steps = fc.array(fc.record({ own: fc.boolean(), topic: fc.constantFrom('a', 'b'), payload: fc.constantFrom('1', '2') }));
    fc.assert(
      fc.property(steps, (all) => {
        const table = new Echoes(() => 0);
        for (const { own, topic, payload } of all) if (own) table.expect(topic, bytes(payload), 1, 0);
        const passed = all.filter(({ topic, payload }) => !table.isEcho(topic, bytes(payload), 1, 0, false));
        const count = (list: typeof all, topic: string, payload: string): number =>
          list.filter((one) => one.topic === topic && one.payload === payload).length;
        for (const topic of ['a', 'b']) {
          for (const payload of ['1', '2']) {
            const others = all.filter(({ own }) => !own);
            if (count(passed, topic, payload) !== count(others, topic, payload)) return false;
          }
        }
        return true;
      }),
    );
  });
});
