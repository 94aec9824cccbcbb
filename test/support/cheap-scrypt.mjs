// For `node --import` in front of a gateway: scrypt with the least cost, so that passwords cost next to nothing.

import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const { scrypt } = crypto;
crypto.scrypt = (password, salt, bytes, options, done) => scrypt(password, salt, bytes, { ...options, N: 2 }, done);
syncBuiltinESMExports();
