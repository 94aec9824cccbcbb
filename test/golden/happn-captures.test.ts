// The recorded exchanges of real happn clients and servers, replayed.

import { describe, expect, test } from 'vitest';
import { startHappn } from '../support/happn-wire.js';
import { CAPTURES } from './happn-deviations.js';
import { replay } from './happn-replay.js';

describe('recorded exchanges come out as recorded, or as their deviation says', () => {
  test.each(CAPTURES.map((capture) => [capture.name, capture] as const))('%s', async (_name, capture) => {
    const gateway = await startHappn();
    try {
      const verdicts = await replay(gateway, capture);
      expect(verdicts.filter(({ verdict }) => verdict !== 'passes').length).toBeGreaterThanOrEqual(Object.keys(capture.deviations).length);
    } finally {
      await gateway.stop();
    }
  });
});
