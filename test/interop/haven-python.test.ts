// The story of a client that is written in Python, on another implementation of MessagePack, in both shapes and both framings.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';

const PROGRAM = fileURLToPath(new URL('../support/haven-client.py', import.meta.url));

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

it.each(['map', 'array'].flatMap((shape) => ['prefixed', 'bare'].map((framing) => [shape, framing] as const)))(
  '%s shape, %s',
  async (shape, framing) => {
    const args = [PROGRAM, String(gateway.ports.haven), shape, framing, `/python/${shape}/${framing}`];
    const { stdout } = await promisify(execFile)('/usr/bin/python3', args, { timeout: 20_000 });
    const told = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as [string, unknown]);
    expect(told).toEqual([
      ['connect', true],
      ...[null, true, -7, 2 ** 53 - 1, 1.5, 'täxt', { bytes: '00ff' }, [1, { a: [{ bytes: '78' }] }]].map((value) => ['value', value]),
      ['value', 'Timestamp(seconds=1700000000, nanoseconds=0)'],
      ['too large', 1],
      ['old text', 'old'],
      ['conflict', 8],
      ['transaction', [1, 2]],
      ['again', [8, 0]],
      ['found', [{ bytes: '6d6f766564' }]],
      [
        'events',
        [
          ['write', '/a'],
          ['delete', '/a'],
          ['write', '/b'],
        ],
      ],
    ]);
  },
);
