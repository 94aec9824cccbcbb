// Runs before all tests: makes sure that dist is what src says, for the tests that start real processes.
// Type errors are shown and fail `npm test` before it comes here; they do not keep single tests from running.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  const script = fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url));
  const code = `import(${JSON.stringify(script)}).then((build) => build.buildWhenStale())`;
  spawnSync(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' });
}
