// Temporary folders of a run: they go with it, however it ends.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set();

process.on('exit', () => {
  for (const dir of folders) removeFolder(dir);
});

export function makeFolder() {
  const dir = mkdtempSync(join(tmpdir(), 'trivium-bench-'));
  folders.add(dir);
  return dir;
}

export function removeFolder(dir) {
  folders.delete(dir);
  rmSync(dir, { recursive: true, force: true });
}
