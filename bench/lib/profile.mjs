// Reads V8 processor profiles: which functions a server spent its own time in.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const place = ({ functionName, url, lineNumber }) =>
  `${functionName || '(anonymous)'} ${url.replace(/^file:\/\//, '').replace(/^.*\/(dist|node_modules)\//, '$1/')}${url === '' ? '' : `:${lineNumber + 1}`}`;

/** Self time by function over all profiles of the folder: share of the time that was not idle, largest first. */
export function hottest(dir, count = 25) {
  const times = new Map();
  let busy = 0;
  for (const name of readdirSync(dir).filter((file) => file.endsWith('.cpuprofile'))) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(dir, name), 'utf8'));
    const frames = new Map(nodes.map((node) => [node.id, node.callFrame]));
    samples.forEach((id, index) => {
      const frame = frames.get(id);
      if (frame.functionName === '(idle)' || frame.functionName === '(root)') return;
      const key = place(frame);
      times.set(key, (times.get(key) ?? 0) + timeDeltas[index]);
      busy += timeDeltas[index];
    });
  }
  return [...times]
    .sort((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([where, time]) => ({ where, share: time / busy }));
}
