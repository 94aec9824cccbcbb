// Durations as people write them: milliseconds, or a number with its unit.

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['second', 1_000],
  ['m', 60_000],
  ['minute', 60_000],
  ['h', 3_600_000],
  ['hour', 3_600_000],
  ['d', 86_400_000],
  ['day', 86_400_000],
  ['week', 604_800_000],
]);

/** `7 days`, `4 seconds`, `2h`, 2000; 0: no end, as nothing and Infinity are. null: the text means nothing. */
export function durationMs(value: number | string | null | undefined): number | null {
  if (value === undefined || value === null || value === Number.POSITIVE_INFINITY || value === 'Infinity') return 0;
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? Math.round(value) : null;
  const [, amount, name = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value) ?? [];
  if (amount === undefined) return null;
  const unit = name.toLowerCase();
  const ms = unit === '' ? 1 : (UNIT_MS.get(unit) ?? UNIT_MS.get(unit.replace(/s$/, '')));
  return ms === undefined ? null : Math.round(Number(amount) * ms);
}
