// Byte sequences of the Mosquitto project (see test/golden/vectors/mqtt/README.md) as cases with everything resolved.

import { readdirSync, readFileSync } from 'node:fs';

const VECTORS = new URL('../golden/vectors/mqtt/', import.meta.url);

export interface VectorMessage {
  readonly type: string;
  readonly payload: string;
}

interface Case {
  readonly name: string;
  readonly ver?: number;
  readonly connect?: boolean;
  readonly disable?: boolean;
  readonly expect_disconnect?: boolean;
  readonly msgs: readonly VectorMessage[];
}

interface Group extends Omit<Case, 'name' | 'msgs'> {
  readonly group: string;
  readonly tests: readonly Case[];
}

export interface Vector {
  readonly name: string;
  readonly group: string;
  readonly version: number;
  /** A plain CONNECT comes first. */
  readonly connects: boolean;
  /** The broker ends the connection in the end. */
  readonly disconnects: boolean;
  readonly messages: readonly VectorMessage[];
}

export const vectorFiles: readonly string[] = readdirSync(VECTORS).filter((name) => name.endsWith('.json'));

/** The sequences of a file that are to be played. */
export function vectorsOf(file: string): Vector[] {
  const groups = JSON.parse(readFileSync(new URL(file, VECTORS), 'utf8')) as Group[];
  return groups.flatMap((group) =>
    group.tests
      .filter((test) => !(group.disable ?? false) && !(test.disable ?? false))
      .map((test) => ({
        name: test.name,
        group: group.group,
        version: test.ver ?? group.ver ?? 4,
        connects: test.connect ?? group.connect ?? true,
        disconnects: test.expect_disconnect ?? group.expect_disconnect ?? true,
        messages: test.msgs,
      })),
  );
}

/** Words of a payload: hexadecimal bytes, a kind letter with a number, or quoted text. */
export function bytesOf(payload: string): Buffer {
  const words = payload.match(/'[^']*'|\S+/g) ?? [];
  return Buffer.concat(words.map(wordOf));
}

function wordOf(word: string): Buffer {
  if (word.startsWith("'")) return Buffer.from(word.slice(1, -1));
  const number = Number(word.slice(1));
  switch (word[0]) {
    case 'i':
      return Buffer.of(number);
    case 'H':
    case 'k':
    case 'm':
    case 's':
      return Buffer.of(number >> 8, number & 0xff);
    case 'L':
      return Buffer.of(number >>> 24, (number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff);
    case 'v':
    case 'r':
      return variable(number);
    default:
      return Buffer.from(word, 'hex');
  }
}

/** Also beyond what the standard allows. */
function variable(number: number): Buffer {
  const bytes: number[] = [];
  let rest = number;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}
