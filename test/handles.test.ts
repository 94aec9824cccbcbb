import { describe, expect, it } from 'vitest';
import { connectionsWithin, handleLimit } from '../src/handles.js';

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             127450               127450               processes
Max open files            4096                 524288               files
`;

describe('the number of file handles', () => {
  it('is what the system lets this process have now', () => {
    expect(handleLimit(LIMITS)).toBe(4_096);
  });

  it('is not known where the system does not say', () => {
    expect(handleLimit('')).toBeNull();
    expect(handleLimit('Max open files            unlimited            unlimited            files\n')).toBeNull();
  });

  it.each([
    [100_000, null, 100_000],
    [100_000, 1_048_576, 100_000],
    [100_000, 65_536, 64_036],
    [100_000, 4_096, 2_596],
    [100_000, 1_024, 512],
    [10, 1_024, 10],
    [10, 1, 1],
  ])('leaves of %i wanted connections, with %s handles, %i', (wanted, handles, possible) => {
    expect(connectionsWithin(wanted, handles)).toBe(possible);
  });
});
