// PrefixTree: globs under their longest literal prefix, found by following the characters of a path (a radix tree).
// Cost follows the length of the path and the globs whose whole prefix it has. Equal globs are compared once.

import { globMatches } from '../paths/glob.js';
import type { Pattern } from '../paths/pattern.js';
import type { Subscription } from './subscription.js';
import { SubscriptionList } from './subscription-list.js';

/** The subscriptions of one glob. */
class GlobList extends SubscriptionList {
  constructor(readonly pieces: readonly string[]) {
    super();
  }
}

class Node {
  /** By the first character of their label; null: none. */
  children: Map<number, Node> | null = null;
  /** By the text of the glob; null: none. */
  globs: Map<string, GlobList> | null = null;

  constructor(
    /** What leads here from the parent; empty only at the root. */
    public label: string,
  ) {}
}

export class PrefixTree {
  #root = new Node('');

  /** `pattern` must be of the form 'glob'. */
  add(pattern: Pattern, subscription: Subscription): void {
    const pieces = piecesOf(pattern);
    const node = nodeFor(this.#root, pieces[0] as string);
    node.globs ??= new Map();
    let glob = node.globs.get(pattern.text);
    if (glob === undefined) {
      glob = new GlobList(pieces);
      node.globs.set(pattern.text, glob);
    }
    glob.add(subscription);
  }

  /** The subscription must be there. Nodes that nothing needs go with it. */
  remove(pattern: Pattern, subscription: Subscription): void {
    const prefix = piecesOf(pattern)[0] as string;
    const trail = trailTo(this.#root, prefix);
    const node = trail[trail.length - 1] as Node;
    const glob = node.globs?.get(pattern.text);
    if (glob === undefined) return;
    glob.remove(subscription);
    if (!glob.empty) return;
    node.globs?.delete(pattern.text);
    if (node.globs?.size === 0) node.globs = null;
    if (node.globs === null) tidy(trail);
  }

  /** Adds to `found` the lists whose globs match `path`. */
  collect(path: string, found: SubscriptionList[]): void {
    let node: Node | undefined = this.#root;
    let at = 0;
    while (node !== undefined && path.startsWith(node.label, at)) {
      at += node.label.length;
      if (node.globs !== null) for (const glob of node.globs.values()) if (globMatches(path, glob.pieces)) found.push(glob);
      node = at < path.length ? node.children?.get(path.charCodeAt(at)) : undefined;
    }
  }

  /** True when nothing is left of what was added. */
  get empty(): boolean {
    return this.#root.children === null && this.#root.globs === null;
  }
}

function piecesOf(pattern: Pattern): readonly string[] {
  if (pattern.form.type !== 'glob') throw new TypeError(`not a glob: ${pattern.form.type}`);
  return pattern.form.pieces;
}

/** The node at exactly `prefix`, made if need be. */
function nodeFor(root: Node, prefix: string): Node {
  let node = root;
  let at = 0;
  while (at < prefix.length) {
    const code = prefix.charCodeAt(at);
    const child = node.children?.get(code);
    if (child === undefined) {
      const leaf = new Node(prefix.slice(at));
      addChild(node, leaf);
      return leaf;
    }
    const common = commonLength(child.label, prefix, at);
    node = common === child.label.length ? child : split(node, child, common);
    at += common;
  }
  return node;
}

/** Nodes from the root to the one at `prefix`; only as far as they exist. */
function trailTo(root: Node, prefix: string): Node[] {
  const trail = [root];
  let node: Node | undefined = root;
  let at = 0;
  while (at < prefix.length) {
    node = node.children?.get(prefix.charCodeAt(at));
    if (node === undefined || !prefix.startsWith(node.label, at)) break;
    trail.push(node);
    at += node.label.length;
  }
  return trail;
}

function commonLength(label: string, text: string, from: number): number {
  const most = Math.min(label.length, text.length - from);
  let length = 0;
  while (length < most && label.charCodeAt(length) === text.charCodeAt(from + length)) length += 1;
  return length;
}

/** Puts a node between `parent` and `child`, behind the first `length` characters of the child's label. */
function split(parent: Node, child: Node, length: number): Node {
  const between = new Node(child.label.slice(0, length));
  child.label = child.label.slice(length);
  addChild(between, child);
  addChild(parent, between);
  return between;
}

/** Adds or replaces the child that begins with the same character. */
function addChild(parent: Node, child: Node): void {
  parent.children ??= new Map();
  parent.children.set(child.label.charCodeAt(0), child);
}

/** The last node of `trail` has lost its globs: it goes, or what it split is joined again; so may its parent then. */
function tidy(trail: readonly Node[]): void {
  const [grandparent, parent, node] = [trail.at(-3), trail.at(-2), trail.at(-1) as Node];
  if (parent === undefined) return;
  if (node.children !== null) {
    joinWithOnlyChild(node, parent);
    return;
  }
  parent.children?.delete(node.label.charCodeAt(0));
  if (parent.children?.size === 0) parent.children = null;
  if (grandparent !== undefined) joinWithOnlyChild(parent, grandparent);
}

/** Undoes a split that nothing needs any more: `node` has no globs and one child. */
function joinWithOnlyChild(node: Node, parent: Node): void {
  if (node.globs !== null || node.children?.size !== 1) return;
  for (const child of node.children.values()) {
    child.label = node.label + child.label;
    addChild(parent, child);
  }
}
