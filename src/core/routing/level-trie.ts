// LevelTrie: patterns of whole levels (MQTT filters, happn segment patterns), found by walking the levels of a path.
// Cost follows the depth of the path and the branches that match it. Reserved areas are the router's business.

import { ANY_LEVEL, countLevels, type Level, PATTERN_MAX_BYTES, type Pattern } from '../paths/pattern.js';
import type { Subscription } from './subscription.js';
import { SubscriptionList } from './subscription-list.js';

/** Subscriptions whose pattern goes on with `least` to `most` levels of any name. */
class TailList extends SubscriptionList {
  constructor(
    readonly least: number,
    readonly most: number,
  ) {
    super();
  }
}

class Node {
  children: Map<string, Node> | null = null;
  /** Where a wildcard for one level leads. */
  any: Node | null = null;
  /** Patterns that end here. */
  ends: SubscriptionList | null = null;
  /** Patterns that go on for any levels; one list for each pair of bounds. */
  tails: TailList[] | null = null;

  get empty(): boolean {
    return this.children === null && this.any === null && this.ends === null && this.tails === null;
  }
}

/** The two ends of what a pattern of levels looks like here. */
interface LevelPattern {
  readonly levels: readonly Level[];
  readonly tailMin: number;
  readonly tailMax: number;
}

export class LevelTrie {
  #root = new Node();

  /** `pattern` must be of the form 'levels'. */
  add(pattern: Pattern, subscription: Subscription): void {
    const { levels, tailMin, tailMax } = levelsOf(pattern);
    let node = this.#root;
    for (const level of levels) node = childFor(node, level);
    if (tailMin === -1) {
      node.ends ??= new SubscriptionList();
      node.ends.add(subscription);
      return;
    }
    node.tails ??= [];
    let tail = findTail(node, tailMin, tailMax);
    if (tail === undefined) {
      tail = new TailList(tailMin, tailMax);
      node.tails.push(tail);
    }
    tail.add(subscription);
  }

  /** The subscription must be there. Empty nodes go with it. */
  remove(pattern: Pattern, subscription: Subscription): void {
    const { levels, tailMin, tailMax } = levelsOf(pattern);
    const trail = [this.#root];
    for (const level of levels) {
      const node = trail[trail.length - 1] as Node;
      const next = level === ANY_LEVEL ? node.any : node.children?.get(level);
      if (next === null || next === undefined) return;
      trail.push(next);
    }
    takeFrom(trail[levels.length] as Node, tailMin, tailMax, subscription);
    for (let depth = levels.length; depth > 0 && (trail[depth] as Node).empty; depth--) {
      cut(trail[depth - 1] as Node, levels[depth - 1] as Level);
    }
  }

  /** Adds to `found` the lists whose patterns match the levels of `path` from `start` on. */
  collect(path: string, start: number, found: SubscriptionList[]): void {
    collectFrom(this.#root, path, start, found);
  }

  /** True when nothing is left of what was added. */
  get empty(): boolean {
    return this.#root.empty;
  }
}

/** `at` is where the next level begins; one past the end when there is none. */
function collectFrom(node: Node, path: string, at: number, found: SubscriptionList[]): void {
  const { tails, ends, any, children } = node;
  const isOver = at > path.length;
  if (tails !== null) {
    for (const tail of tails) {
      const rest = isOver ? 0 : countLevels(path, at, tail.most);
      if (rest >= tail.least && rest <= tail.most) found.push(tail);
    }
  }
  if (isOver) {
    if (ends !== null) found.push(ends);
    return;
  }
  if (any === null && children === null) return;
  const slash = path.indexOf('/', at);
  const end = slash === -1 ? path.length : slash;
  if (any !== null) collectFrom(any, path, end + 1, found);
  // A level longer than any pattern is not worth its hash.
  if (children === null || end - at > PATTERN_MAX_BYTES) return;
  const child = children.get(path.slice(at, end));
  if (child !== undefined) collectFrom(child, path, end + 1, found);
}

function levelsOf(pattern: Pattern): LevelPattern {
  const { form } = pattern;
  if (form.type !== 'levels') throw new TypeError(`not a pattern of levels: ${form.type}`);
  return { levels: form.levels, tailMin: form.tailMin, tailMax: pattern.depth };
}

function childFor(node: Node, level: Level): Node {
  if (level === ANY_LEVEL) {
    node.any ??= new Node();
    return node.any;
  }
  node.children ??= new Map();
  let child = node.children.get(level);
  if (child === undefined) {
    child = new Node();
    node.children.set(level, child);
  }
  return child;
}

function findTail(node: Node, least: number, most: number): TailList | undefined {
  return node.tails?.find((tail) => tail.least === least && tail.most === most);
}

function takeFrom(node: Node, tailMin: number, tailMax: number, subscription: Subscription): void {
  if (tailMin === -1) {
    node.ends?.remove(subscription);
    if (node.ends?.empty) node.ends = null;
    return;
  }
  const tail = findTail(node, tailMin, tailMax);
  tail?.remove(subscription);
  if (node.tails === null || !tail?.empty) return;
  node.tails = node.tails.filter((other) => other !== tail);
  if (node.tails.length === 0) node.tails = null;
}

function cut(parent: Node, level: Level): void {
  if (level === ANY_LEVEL) {
    parent.any = null;
    return;
  }
  parent.children?.delete(level);
  if (parent.children?.size === 0) parent.children = null;
}
