// `npm start`: builds when needed, then runs the gateway, or the command that is named, in this very process, so that signals reach it
// directly.

import { buildWhenStale } from './build.mjs';

buildWhenStale();
const first = process.argv[2];
if (first === undefined || first.startsWith('-')) process.argv.splice(2, 0, 'serve');
await import('../dist/main.js');
