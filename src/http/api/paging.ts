// Paging: the next items after a name, in the order of names, from a collection in any order.

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Name of the last item when there are more behind it. */
  readonly next: string | null;
}

/** Looks at each item once, and keeps no more of them than it answers. */
export function pageOf<Item>(all: Iterable<Item>, nameOf: (item: Item) => string, after: string | undefined, limit: number): Page<Item> {
  /** The least names so far, in order; one more than asked for tells that there are more. */
  const least: { readonly name: string; readonly item: Item }[] = [];
  for (const item of all) {
    const name = nameOf(item);
    if (after !== undefined && name <= after) continue;
    if (least.length > limit && name >= (least[limit] as { name: string }).name) continue;
    least.splice(placeOf(name, least), 0, { name, item });
    if (least.length > limit + 1) least.pop();
  }
  const items = least.slice(0, limit);
  return { items: items.map(({ item }) => item), next: least.length > limit ? (items.at(-1)?.name ?? null) : null };
}

function placeOf(name: string, sorted: readonly { readonly name: string }[]): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as { name: string }).name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
