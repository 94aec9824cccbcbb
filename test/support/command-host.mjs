// The built program in one process that runs command after command, each as at a start: its arguments, its environment, its main module
// anew. What a command loads stays loaded, which is most of what a short one costs. Messages from the parent {args, env}, to it
// {code, stdout, stderr}. A command has ended when nothing is left that would keep its process alive.

import { setTimeout as delay } from 'node:timers/promises';

const MAIN = new URL('../../dist/main.js', import.meta.url).href;
/** Thrown in place of the end of the process. */
const ENDED = Symbol('ended');
const POLL_MS = 1;
const HOST_ENV = { ...process.env };
let starts = 0;
let queue = Promise.resolve();

// Every start listens for errors of standard output.
process.stdout.setMaxListeners(0);
process.exit = (code) => {
  process.exitCode = code;
  throw ENDED;
};

function collect(stream) {
  const chunks = [];
  const { write } = stream;
  stream.write = (chunk, encoding, done) => {
    chunks.push(Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8'));
    const callback = typeof encoding === 'function' ? encoding : done;
    if (callback !== undefined) process.nextTick(callback);
    return true;
  };
  return () => {
    stream.write = write;
    return Buffer.concat(chunks).toString();
  };
}

/** What there is beside the channel to the parent. */
const isBusy = () => process.getActiveResourcesInfo().some((name) => name !== 'PipeWrap');

async function run({ args, env }) {
  process.argv = [process.execPath, MAIN, ...args];
  process.env = { ...HOST_ENV, ...env };
  process.exitCode = undefined;
  const [stdout, stderr] = [collect(process.stdout), collect(process.stderr)];
  try {
    await import(`${MAIN}?start=${++starts}`);
    while (isBusy()) await delay(POLL_MS);
  } catch (error) {
    if (error !== ENDED) throw error;
  }
  const answer = { code: process.exitCode ?? 0, stdout: stdout(), stderr: stderr() };
  process.send(answer);
}

process.on('message', (command) => {
  queue = queue.then(() => run(command));
});
