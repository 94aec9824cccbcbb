// What ends logins finds those, too, that are still being answered.

import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { HappnAdapter } from '../../src/adapters/happn/index.js';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import type { Adapter, AdapterContext } from '../../src/core/index.js';
import { Directory } from '../../src/core/security/directory.js';
import { DirectoryAccess } from '../../src/core/security/directory-access.js';
import { Login, NO_LIMITS } from '../../src/core/security/policy.js';
import { ContractHouse } from '../support/contract-house.js';
import { until } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';

it('D4 D11 a login whose token is being made when all tokens of its user are revoked does not outlive that', async () => {
  const directory = new Directory();
  const begun = Date.now();
  const authenticate = async () => {
    const principal = directory.principal('ann');
    if (principal === null) throw new Error('nobody is there');
    return { name: 'ann', principal, login: new Login(randomUUID(), 'stateful', null, begun, NO_LIMITS, begun) };
  };
  const house = new ContractHouse(INBOUND_LIMITS, new DirectoryAccess(directory, { authenticate }, { now: () => Date.now() }), directory);
  await house.start();
  let signing: (token: string) => void = () => {};
  let isSigning = false;
  const happn = new HappnAdapter();
  const slow: Adapter = {
    name: happn.name,
    start: (context: AdapterContext) => {
      const tokenOf = (): Promise<string> => {
        isSigning = true;
        return new Promise((resolve) => {
          signing = resolve;
        });
      };
      return happn.start({ ...context, logins: { ...context.logins, tokenOf } as never });
    },
    stop: (deadlineMs, error) => happn.stop(deadlineMs, error),
  };
  try {
    const { httpPort } = await house.add(slow);
    const put = { when: 'any', merge: false } as const;
    await house.administer({ type: 'putUser', name: 'ann', id: 'ann', fields: {}, ...put });
    const wire = await HappnWire.connect(`ws://127.0.0.1:${httpPort}/primus?_primuscb=raw`);
    await wire.request('configure-session', { data: { protocol: 'happn_4', version: '13.12.1' } });
    wire.send({ action: 'login', eventId: 100, data: { username: 'ann', password: 'one' } });
    await until('its token is made', () => isSigning);
    await house.administer({ type: 'revokeAll', name: 'ann' });
    signing('the token');
    await until('the connection is ended', () => wire.closed !== null);
    expect(wire.closed).not.toBeNull();
  } finally {
    await house.stop();
  }
});
