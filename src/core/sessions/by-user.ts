// ByUser: things of users by the names of these, so that what concerns one user costs by what that user has.

export class ByUser<T> {
  readonly #things = new Map<string, Set<T>>();

  add(name: string, thing: T): void {
    const known = this.#things.get(name);
    if (known === undefined) this.#things.set(name, new Set([thing]));
    else known.add(thing);
  }

  delete(name: string, thing: T): void {
    const known = this.#things.get(name);
    if (known?.delete(thing) === true && known.size === 0) this.#things.delete(name);
  }

  /** A list of its own: what is done with them may change what there is. */
  of(names: Iterable<string>): T[] {
    const found: T[] = [];
    for (const name of names) for (const thing of this.#things.get(name) ?? []) found.push(thing);
    return found;
  }
}
