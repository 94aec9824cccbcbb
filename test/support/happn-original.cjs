// A genuine happn-3 13.12.1 server in a process of its own. Prints its port as one line of JSON, ends with its parent's pipe.

const { createRequire } = require('node:module');
const { join } = require('node:path');

const folder = join(__dirname, '..', 'clients', 'happn3');
const happn = createRequire(join(folder, 'package.json'))('happn-3-v13');
process.stdin.on('end', () => process.exit(0)).resume();

happn.service.create({ host: '127.0.0.1', port: 0, utils: { logLevel: 'off', logConsole: false } }, (error, server) => {
  if (error) {
    process.stderr.write(`${error.stack ?? error}\n`);
    process.exit(1);
  }
  process.stdout.write(`${JSON.stringify({ port: server.server.address().port })}\n`);
});
