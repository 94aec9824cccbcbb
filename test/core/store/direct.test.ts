// Writes past the cache of the system, where it allows them.

import { constants } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DIRECT_FLAG, directMemory } from '../../../src/core/store/direct.js';
import { temporaryDirectory } from '../../support/temporary.js';

const FLAGS = constants.O_RDWR | constants.O_CREAT;
const KIB = 1024;

test('memory for them holds zeros, and can be written from at every block', async (context) => {
  const path = join(await temporaryDirectory(), 'file');
  await writeFile(path, 'x'.repeat(20 * KIB));
  const memory = await directMemory(path, FLAGS, 20 * KIB);
  if (memory === null) return context.skip('the file system of the temporary directory takes no direct writes');
  expect(memory).toEqual(Buffer.alloc(20 * KIB));
  expect(await readFile(path)).toHaveLength(0);
  const file = await open(path, FLAGS | DIRECT_FLAG);
  memory.fill('a');
  for (let at = 512; at < 20 * KIB; at += 1536) await file.write(memory, at, 1024, 20 * KIB - at);
  await file.close();
});

test('there is none for a file that cannot be written', async () => {
  const location = await temporaryDirectory();
  expect(await directMemory(join(location, 'not', 'there'), FLAGS, KIB)).toBeNull();
  expect(await directMemory(location, FLAGS, KIB)).toBeNull();
  expect(await directMemory('/dev/full', FLAGS, KIB)).toBeNull();
});
