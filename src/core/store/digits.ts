// Numbers in keys: hexadecimal digits, as many for all, so that keys sort as they count.

export const DIGITS = 14;

export function digits(number: number): string {
  return number.toString(16).padStart(DIGITS, '0');
}
