// Peer: aedes as it comes, in memory. Prints its port.

import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const broker = await Aedes.createBroker();
// Without noDelay it would wait for delayed acknowledgements of TCP, 40 ms at a time.
const server = createServer({ noDelay: true }, broker.handle);
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
