// The version 5 sequences of the Mosquitto project, as far as they are about bytes: the codec takes what is right and refuses
// the rest with the reason code that stands in the answer. What a session decides is played in test/golden.

import { expect, it } from 'vitest';
import { PACKET } from '../../../../src/adapters/mqtt/wire.js';
import { bytesOf, type Vector, vectorFiles, vectorsOf } from '../../../support/mqtt-vectors.js';
import { faultIn, readPackets } from '../../../support/mqtt5-read.js';

/** Well-formed packets that are refused for what the connection, the configuration or another packet says. */
const OF_THE_SESSION: ReadonlySet<string> = new Set([
  '10 Will topic with $CONTROL',
  'unsupported authentication method',
  'tiny max packet',
  'E0 non-zero session expiry',
  'topic alias > max topic alias',
  'topic-alias (two byte integer) no topic',
  '34 QoS 2 Dup flow*3',
]);

interface Expected {
  readonly bytes: Buffer;
  /** null: nothing is wrong; 'any': the connection ends without a word, by a fault or a DISCONNECT. */
  readonly reason: number | null | 'any';
}

const cases = vectorFiles
  .flatMap(vectorsOf)
  .filter(({ version, name }) => version === 5 && !OF_THE_SESSION.has(name))
  .filter((one) => one.connects || beginsWithConnect(one));

it.each(cases.map((one, i) => [one.group, one.name, i] as const))('%s: %s', (_group, _name, i) => {
  for (const { bytes, reason } of expectedOf(cases[i] as Vector)) {
    const found = reasonOf(bytes);
    if (reason === 'any') expect(found).not.toBeNull();
    else expect(found).toBe(reason);
  }
});

/** Another first packet ends the connection, whatever it says. */
function beginsWithConnect({ messages }: Vector): boolean {
  return (bytesOf(messages[0]?.payload ?? '')[0] ?? 0) >> 4 === PACKET.CONNECT;
}

function expectedOf({ messages, disconnects }: Vector): Expected[] {
  const expected: Expected[] = [];
  for (const [i, { type, payload }] of messages.entries()) {
    if (type !== 'send') continue;
    const answer = messages[i + 1];
    const isLast = i === messages.length - 1;
    const reason = answer?.type === 'recv' ? refusalIn(bytesOf(answer.payload)) : isLast && disconnects ? 'any' : null;
    expected.push({ bytes: bytesOf(payload), reason });
  }
  return expected;
}

/** The reason code of a CONNACK or DISCONNECT that ends the connection. */
function refusalIn(answer: Buffer): number | null {
  const type = (answer[0] as number) >> 4;
  if (type === PACKET.DISCONNECT) return answer[2] as number;
  return type === PACKET.CONNACK && answer[3] !== 0 ? (answer[3] as number) : null;
}

/** The reason code of the fault in `bytes`, 0 for a DISCONNECT without fault, null when all is right. */
function reasonOf(bytes: Buffer): number | null {
  return faultIn(bytes) ?? (readPackets(bytes).some(({ type }) => type === PACKET.DISCONNECT) ? 0 : null);
}
