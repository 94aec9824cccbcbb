// Router: finds the subscriptions that match a path. Cost follows the depth of the path, not the number of subscriptions:
// literal patterns are looked up, patterns of levels walked, globs tried only under their literal prefix, and the result
// cached. Rights, and whether a subscription has ended, are checked at delivery.

import { reservedArea, withoutLeadingSlash } from '../paths/path.js';
import { ANY_LEVEL, type Pattern } from '../paths/pattern.js';
import { LevelTrie } from './level-trie.js';
import { MatchCache } from './match-cache.js';
import { PrefixTree } from './prefix-tree.js';
import { SharedGroup } from './shared-group.js';
import type { Subscription } from './subscription.js';
import { type Match, matchOf, NO_MATCH, SubscriptionList } from './subscription-list.js';

export type { Match } from './subscription-list.js';

export class Router {
  readonly #subscriptions = new Set<Subscription>();
  #made = 0;
  /** Literal patterns by path (glob, mqtt). */
  readonly #literals = new Map<string, SubscriptionList>();
  /** Literal patterns by path without its leading slash (segments). */
  readonly #slashless = new Map<string, SubscriptionList>();
  readonly #filters = new LevelTrie();
  readonly #segments = new LevelTrie();
  readonly #globs = new PrefixTree();
  readonly #groups = new Map<string, SharedGroup>();
  readonly #cache = new MatchCache();
  /** Lists found for the path in hand; kept to save its making. */
  readonly #found: SubscriptionList[] = [];

  /** A subscription that is there already stays where it is. */
  subscribe(subscription: Subscription): void {
    if (this.#subscriptions.has(subscription)) return;
    const { pattern } = subscription;
    this.#made += 1;
    subscription.order = this.#made;
    this.#subscriptions.add(subscription);
    this.#join(subscription);
    switch (pattern.form.type) {
      case 'literal':
        addLiteral(this.#literalsOf(pattern), pattern.form.key, subscription);
        break;
      case 'levels':
        this.#trieOf(pattern).add(pattern, subscription);
        break;
      case 'glob':
        this.#globs.add(pattern, subscription);
    }
    this.#forget(pattern);
  }

  /** False if it was not there. */
  unsubscribe(subscription: Subscription): boolean {
    if (!this.#subscriptions.delete(subscription)) return false;
    const { pattern } = subscription;
    switch (pattern.form.type) {
      case 'literal':
        removeLiteral(this.#literalsOf(pattern), pattern.form.key, subscription);
        break;
      case 'levels':
        this.#trieOf(pattern).remove(pattern, subscription);
        break;
      case 'glob':
        this.#globs.remove(pattern, subscription);
    }
    this.#leave(subscription);
    this.#forget(pattern);
    return true;
  }

  #join(subscription: Subscription): void {
    const key = groupKey(subscription);
    if (key === null) return;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new SharedGroup(key);
      this.#groups.set(key, group);
    }
    group.add(subscription);
    subscription.shared = group;
  }

  /** null: it has no member. */
  group(key: string): SharedGroup | null {
    return this.#groups.get(key) ?? null;
  }

  #leave(subscription: Subscription): void {
    const { shared } = subscription;
    if (shared === null) return;
    shared.remove(subscription);
    subscription.shared = null;
    if (shared.size === 0) this.#groups.delete(shared.key);
  }

  match(path: string): Match {
    if (this.#subscriptions.size === 0) return NO_MATCH;
    return this.#cache.get(path) ?? this.#find(path);
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  /** All subscriptions, in the order in which they were made. */
  values(): IterableIterator<Subscription> {
    return this.#subscriptions.values();
  }

  #find(path: string): Match {
    const found = this.#found;
    this.#collect(path);
    const area = reservedArea(path);
    let match = NO_MATCH;
    let isShared = true;
    if (found.length === 1 && area === null) match = (found[0] as SubscriptionList).match;
    else if (found.length > 0) {
      match = merge(found, area);
      isShared = false;
    }
    found.length = 0;
    this.#cache.set(path, match, isShared ? 0 : match.all.length + match.durable.length + match.groups.length);
    return match;
  }

  #collect(path: string): void {
    const found = this.#found;
    const literals = this.#literals.get(path);
    if (literals !== undefined) found.push(literals);
    if (this.#slashless.size > 0) {
      const slashless = this.#slashless.get(withoutLeadingSlash(path));
      if (slashless !== undefined) found.push(slashless);
    }
    this.#filters.collect(path, 0, found);
    this.#segments.collect(path, path.startsWith('/') ? 1 : 0, found);
    this.#globs.collect(path, found);
  }

  #literalsOf(pattern: Pattern): Map<string, SubscriptionList> {
    return pattern.dialect === 'segments' ? this.#slashless : this.#literals;
  }

  #trieOf(pattern: Pattern): LevelTrie {
    return pattern.dialect === 'segments' ? this.#segments : this.#filters;
  }

  /** What was kept for paths that `pattern` can match is no longer true. */
  #forget(pattern: Pattern): void {
    const { form } = pattern;
    if (form.type === 'literal') {
      this.#cache.forgetPath(form.key);
      if (pattern.dialect === 'segments') this.#cache.forgetPath(`/${form.key}`);
    } else {
      this.#cache.forgetBelow(literalHead(pattern));
    }
  }
}

/** What all members of a shared subscription have in common; null: it is not shared. Group names hold no control characters. */
function groupKey({ options, pattern }: Subscription): string | null {
  return options.group === null ? null : `${options.group}\n${pattern.text}`;
}

function addLiteral(literals: Map<string, SubscriptionList>, key: string, subscription: Subscription): void {
  let list = literals.get(key);
  if (list === undefined) {
    list = new SubscriptionList();
    literals.set(key, list);
  }
  list.add(subscription);
}

function removeLiteral(literals: Map<string, SubscriptionList>, key: string, subscription: Subscription): void {
  const list = literals.get(key);
  if (list === undefined) return;
  list.remove(subscription);
  if (list.empty) literals.delete(key);
}

/** A subscription is in one list only, so nothing comes twice. A path in a reserved area concerns who spelled it out. */
function merge(found: readonly SubscriptionList[], area: string | null): Match {
  let all: Subscription[] = [];
  for (const list of found) all = all.concat(list.all);
  if (area !== null) all = all.filter((subscription) => subscription.pattern.area === area);
  return matchOf(all.sort((a, b) => a.order - b.order));
}

/** The whole levels with which every match of `pattern` begins, as text; empty when there are none. */
function literalHead(pattern: Pattern): string {
  const { form, dialect } = pattern;
  if (form.type !== 'levels') {
    const end = pattern.prefix.lastIndexOf('/');
    return end === -1 ? '' : pattern.prefix.slice(0, end);
  }
  const firstWildcard = form.levels.indexOf(ANY_LEVEL);
  const literal = firstWildcard === -1 ? form.levels : form.levels.slice(0, firstWildcard);
  if (literal.length === 0) return '';
  return dialect === 'segments' ? `/${literal.join('/')}` : literal.join('/');
}
