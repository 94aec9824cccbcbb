import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Broker, LEAVING_AT_A_TIME } from '../../../src/adapters/mqtt/broker.js';
import { Port } from '../../../src/adapters/mqtt/port.js';
import type { AdapterContext } from '../../../src/core/index.js';
import { keptLog } from '../../support/silent-log.js';

const nobody = { onConnack: () => {}, write: () => {}, onPortClosed: () => {} };

it('tells aedes of a crowd that is lost at once over several turns of the loop, and of each one', async () => {
  const broker = await Broker.start({ node: { id: 'broker' }, log: keptLog() } as unknown as AdapterContext);
  const ports = Array.from({ length: 3 * LEAVING_AT_A_TIME }, () => new Port(nobody));
  for (const port of ports) broker.leave(port);
  const told: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    await nextTurn();
    told.push(ports.filter(({ destroyed }) => destroyed).length);
  }
  expect(told).toEqual([1, 2, 3, 3].map((turns) => turns * LEAVING_AT_A_TIME));
  broker.close();
});
