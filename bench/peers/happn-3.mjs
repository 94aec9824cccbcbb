// Peer: the happn-3 server of the folder given as first argument, as it comes: insecure, in memory. Prints its port.

import { createRequire } from 'node:module';

const [folder, name, port] = process.argv.slice(2);
const happn = createRequire(`${folder}/package.json`)(name);
await happn.service.create({ host: '127.0.0.1', port: Number(port), utils: { logLevel: 'error' } });
console.log(`port ${port}`);
