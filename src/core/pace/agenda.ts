// Agenda: items by the time they are due. Finding what is due costs by how much is due, not by how many items there are.

/** Has at most one place in one agenda. */
export interface Planned {
  /** The agenda's: its place; -1: it has none. */
  place: number;
  /** The agenda's: when it is due. */
  due: number;
}

/** A binary heap whose items know their place, so that each can be moved. */
export class Agenda<T extends Planned> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** It is due at `time` from now on; Infinity: never. */
  plan(item: T, time: number): void {
    if (time === Number.POSITIVE_INFINITY) return this.#remove(item);
    if (item.place < 0) {
      item.place = this.#heap.length;
      this.#heap.push(item);
    } else if (item.due === time) {
      return;
    }
    item.due = time;
    this.#settle(item);
  }

  /** At most `max` of those that are due at `time`; they stay planned. */
  dueAt(time: number, max: number): T[] {
    const due: T[] = [];
    const places = [0];
    for (let place = places.pop(); place !== undefined && due.length < max; place = places.pop()) {
      const item = this.#heap[place];
      if (item === undefined || item.due > time) continue;
      due.push(item);
      places.push(2 * place + 1, 2 * place + 2);
    }
    return due;
  }

  #remove(item: T): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.#heap.pop() as T;
    if (last === item) return;
    this.#put(last, place);
    this.#settle(last);
  }

  /** Up or down to where it belongs. */
  #settle(item: T): void {
    let { place } = item;
    for (let above = (place - 1) >> 1; place > 0 && this.#at(above).due > item.due; above = (place - 1) >> 1) {
      this.#put(this.#at(above), place);
      place = above;
    }
    for (let below = this.#earlierBelow(place); below > 0 && this.#at(below).due < item.due; below = this.#earlierBelow(place)) {
      this.#put(this.#at(below), place);
      place = below;
    }
    this.#put(item, place);
  }

  /** The place of the earlier one of those below; 0: there is none. */
  #earlierBelow(place: number): number {
    const left = 2 * place + 1;
    const right = left + 1;
    if (left >= this.#heap.length) return 0;
    return right < this.#heap.length && this.#at(right).due < this.#at(left).due ? right : left;
  }

  #at(place: number): T {
    return this.#heap[place] as T;
  }

  #put(item: T, place: number): void {
    this.#heap[place] = item;
    item.place = place;
  }
}
