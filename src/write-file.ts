// writeFileAtomically: readers of the file see the old content or the new one, never a part.

import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';

/** The content is on disk when this resolves; the file is readable by its owner only. */
export async function writeFileAtomically(file: string, content: string): Promise<void> {
  const beside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(beside, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
