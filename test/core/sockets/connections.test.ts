// The open connections of a listener: who is there, and how they end.

import { expect, test } from 'vitest';
import { CLOSE_GRACE_MS, Connections, untilNone } from '../../../src/core/sockets/connections.js';

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

interface Peer {
  /** How often it is still found to be owed something. */
  owed: number;
  isCutOff: boolean;
}

const isOwed = (peer: Peer): boolean => peer.owed > 0 && peer.owed-- > 0;

/** Peers, their connections, and what cuts them off: a closed connection is gone at once. */
function peersOwed(...owed: number[]): { peers: Peer[]; connections: Connections<Peer>; cutOff: (peer: Peer) => void } {
  const connections = new Connections<Peer>();
  const peers = owed.map((times) => ({ owed: times, isCutOff: false }));
  for (const peer of peers) connections.add(peer);
  const cutOff = (peer: Peer): void => {
    peer.isCutOff = true;
    connections.delete(peer);
  };
  return { peers, connections, cutOff };
}

test('are closed at once when nobody is there', async () => {
  await new Connections<Peer>().untilClosed(LONG_MS, isOwed, () => {});
});

test('are waited for until the last one has closed its side, and nobody is cut off', async () => {
  const { peers, connections, cutOff } = peersOwed(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  let isOver = false;
  const waiting = connections.untilClosed(LONG_MS, isOwed, cutOff).then(() => {
    isOver = true;
  });
  connections.delete(peers[0] as Peer);
  await Promise.resolve();
  expect(isOver).toBe(false);
  connections.delete(peers[1] as Peer);
  await waiting;
  expect(peers.filter(({ isCutOff }) => isCutOff)).toEqual([]);
});

test('have a grace to close their side, which begins when they are owed nothing any more', async () => {
  const { peers, connections, cutOff } = peersOwed(0, 3);
  const cut: Peer[] = [];
  const begun = performance.now();
  await connections.untilClosed(LONG_MS, isOwed, (peer) => {
    cut.push(peer);
    cutOff(peer);
  });
  expect(cut).toEqual(peers);
  expect(peers[1]?.owed).toBe(0);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(CLOSE_GRACE_MS);
});

test('are cut off at the deadline, whatever they are owed', async () => {
  const { peers, connections, cutOff } = peersOwed(Number.POSITIVE_INFINITY);
  await connections.untilClosed(1, isOwed, cutOff);
  expect(peers[0]?.isCutOff).toBe(true);
  expect(connections.size).toBe(0);
});

test('that do not go although they were cut off are left behind at the deadline', async () => {
  const { connections } = peersOwed(0);
  await connections.untilClosed(1, isOwed, () => {});
  expect(connections.size).toBe(1);
});

test('busy ones are waited for until the deadline', async () => {
  const sessions = [{ left: 3 }, { left: 0 }];
  await untilNone(sessions, (session) => session.left-- > 0, LONG_MS);
  expect(sessions[0]?.left).toBe(-1);
  await untilNone(sessions, () => true, 1);
});
