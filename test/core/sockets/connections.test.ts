// The open connections of a listener: who is there, and when nobody is any more.

import { expect, test } from 'vitest';
import { Connections, untilNone } from '../../../src/core/sockets/connections.js';

const LONG_MS = 60_000;

test('has who was added and not taken away', () => {
  const connections = new Connections<string>();
  connections.add('a');
  connections.add('b');
  connections.delete('a');
  connections.delete('unknown');
  expect([...connections]).toEqual(['b']);
  expect(connections.size).toBe(1);
});

test('is empty at once when nobody is there', async () => {
  await new Connections<string>().untilEmpty(LONG_MS);
});

test('waits for the last one', async () => {
  const connections = new Connections<string>();
  connections.add('a');
  connections.add('b');
  let isOver = false;
  const waiting = connections.untilEmpty(LONG_MS).then(() => {
    isOver = true;
  });
  connections.delete('a');
  await Promise.resolve();
  expect(isOver).toBe(false);
  connections.delete('b');
  await waiting;
});

test('waits no longer than the deadline, and can be waited for again', async () => {
  const connections = new Connections<string>();
  connections.add('a');
  await connections.untilEmpty(1);
  expect(connections.size).toBe(1);
  const waiting = connections.untilEmpty(LONG_MS);
  connections.delete('a');
  await waiting;
});

test('busy ones are waited for until the deadline', async () => {
  const sessions = [{ left: 3 }, { left: 0 }];
  await untilNone(sessions, (session) => session.left-- > 0, LONG_MS);
  expect(sessions[0]?.left).toBe(-1);
  await untilNone(sessions, () => true, 1);
});
