// What is left of an `on` that was refused, whatever the client has said before it is told.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Connection, Host } from '../../../src/adapters/happn/host.js';
import type { Sink } from '../../../src/adapters/happn/session-layers.js';
import { Subscriptions } from '../../../src/adapters/happn/subscriptions.js';
import { UNCONFIGURED, type Version, versionNamed } from '../../../src/adapters/happn/versions.js';
import { NOBODY, Reply, RequestError, type SubscribeRequest, type Subscription } from '../../../src/core/index.js';

const REFUSED = new RequestError('ACCESS_DENIED', 'no');

let asked: SubscribeRequest[];
let said: string[];
let subscriptions: Subscriptions;

function begin(version: Version): void {
  asked = [];
  said = [];
  const answer = (text: string): number => said.push(text);
  const connection = { id: 'a'.repeat(36), identity: NOBODY, version, mergeForm: 'record', ending: false, answer };
  const host = { context: { submit: (request: SubscribeRequest) => asked.push(request) } };
  subscriptions = new Subscriptions(connection as unknown as Connection, host as unknown as Host);
}

const on = (path: string, options: object = {}): void => subscriptions.on({ action: 'on', eventId: 1, path, options });
const off = (path: string, options: object = {}): void => subscriptions.off({ action: 'off', eventId: 2, path, options });

/** The core answers the oldest request that it was not asked to answer yet. */
function answer(error: RequestError | null = null): void {
  const request = asked.shift() as SubscribeRequest;
  const reply = new Reply(request);
  reply.error = error;
  subscriptions.writeReply({ text: (text: string) => said.push(text) } as unknown as Sink, request, reply);
}

/** As `answer`, for depths that are subscribed: `kept` are those that the core has. */
function answerOne(error: RequestError | null, kept: Set<number>): void {
  const { op, subscription } = asked[0] as SubscribeRequest;
  if (error === null && op === 'subscribe' && subscription.options.sets) kept.add(subscription.pattern.depth);
  if (error === null && op === 'unsubscribe' && subscription.options.sets) kept.delete(subscription.pattern.depth);
  answer(error);
}

const opsOf = (): string[] => asked.map(({ op, subscription }) => `${op} ${subscription.pattern.text}`);

describe('an on that is refused', () => {
  beforeEach(() => begin(versionNamed('happn_4') as Version));

  it('leaves alone what the client has asked for since under the same name', () => {
    on('/ALL@/a');
    off('/ALL@/a');
    on('/ALL@/a');
    answer(REFUSED);
    answer();
    answer();
    expect(asked).toEqual([]);
    off('/ALL@/a');
    expect(opsOf()).toEqual(['unsubscribe /a']);
  });

  it('because it was to reach further ends with the narrower one that the client has ended meanwhile', () => {
    on('/ALL@/a/**', { depth: 1 });
    answer();
    const narrow = asked.length;
    on('/ALL@/a/**', { depth: 3 });
    off('/ALL@/a/**');
    expect(narrow).toBe(0);
    const [wider, , ended] = asked.map(({ subscription }) => subscription);
    expect(ended).toBe(wider);
    for (let n = 0; n < 3; n++) answer(n < 2 ? REFUSED : null);
    expect(asked.map(({ op, subscription }) => [op, subscription.pattern.depth])).toEqual([['unsubscribe', 1]]);
  });

  it.each([
    ['both', [REFUSED, REFUSED], 1],
    ['the first', [REFUSED, null], 3],
    ['the second', [null, REFUSED], 2],
    ['neither', [null, null], 3],
  ] as const)('of two that were to reach further: %s', (_which, [first, second], depth) => {
    on('/ALL@/a/**', { depth: 1 });
    answer();
    on('/ALL@/a/**', { depth: 2 });
    on('/ALL@/a/**', { depth: 3 });
    const kept = new Set([1]);
    for (const error of [first, first, second, second]) answerOne(error, kept);
    while (asked.length > 0) answerOne(null, kept);
    expect([...kept]).toEqual([depth]);
    off('/ALL@/a/**');
    expect(asked.map(({ op, subscription }) => [op, subscription.pattern.depth])).toEqual([['unsubscribe', depth]]);
  });

  it('leaves nothing when the right for the narrower one went, too', () => {
    on('/ALL@/a/**', { depth: 1 });
    const narrow = asked[0]?.subscription as Subscription;
    answer();
    on('/ALL@/a/**', { depth: 2 });
    narrow.close();
    subscriptions.lost(narrow);
    answer(REFUSED);
    answer(REFUSED);
    on('/ALL@/a/**', { depth: 1 });
    expect(asked.map(({ op, subscription }) => [op, subscription.pattern.depth, subscription.options.sets])).toEqual([
      ['subscribe', 1, true],
    ]);
  });
});

describe('an on that is refused to a client that counts listeners', () => {
  beforeEach(() => begin(UNCONFIGURED));

  it('counts for as many as it asked for', () => {
    on('/ALL@/a', { event_type: 'all', refCount: 0 });
    answer();
    on('/ALL@/a', { refCount: 3 });
    answer(REFUSED);
    off('/ALL@/a', { refCount: 1 });
    expect(opsOf()).toEqual(['unsubscribe /a']);
  });
});
