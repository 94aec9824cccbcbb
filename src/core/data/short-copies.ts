// Short copies: some bytes from one piece of memory to another, in words, at a fraction of what a loop over them costs, or a view of
// them for `set`.

const WORD_BYTES = 4;

export function copyShort(from: DataView, start: number, length: number, to: DataView, at: number): void {
  const last = length - WORD_BYTES;
  if (last < 0) {
    for (let i = 0; i < length; i++) to.setUint8(at + i, from.getUint8(start + i));
    return;
  }
  for (let i = 0; i < last; i += WORD_BYTES) to.setInt32(at + i, from.getInt32(start + i));
  // It may overlap the one before.
  to.setInt32(at + last, from.getInt32(start + last));
}

/** What was asked for last, of which there is one at a time; a chunk of a socket often has many bodies. */
let chunk: Uint8Array = new Uint8Array();
let view: DataView | null = null;

/** A view of the chunk, which is kept until another one is asked for; null the first time: it costs more than one short copy. */
export function wordsOf(asked: Uint8Array): DataView | null {
  if (asked === chunk) {
    view ??= new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  } else {
    chunk = asked;
    view = null;
  }
  return view;
}
