// Rules: which topics cross a bridge in which direction, and their names on the other side. The first rule that
// matches decides.

import { type Pattern, parsePattern } from '../../../core/index.js';
import type { RuleConfig } from './config.js';

export interface Rule {
  /** `localPrefix + filter`, `remotePrefix + filter`. */
  readonly local: Pattern;
  readonly remote: Pattern;
  readonly localPrefix: string;
  readonly remotePrefix: string;
  readonly qos: 0 | 1 | 2;
  /** Messages cross both ways. */
  readonly both: boolean;
}

export class Rules {
  /** From here to the remote. */
  readonly out: readonly Rule[];
  /** From the remote to here. */
  readonly in: readonly Rule[];

  constructor(rules: readonly RuleConfig[]) {
    const parsed = rules.map((rule) => ({ rule: parseRule(rule), direction: rule.direction }));
    this.out = parsed.filter(({ direction }) => direction !== 'in').map(({ rule }) => rule);
    this.in = parsed.filter(({ direction }) => direction !== 'out').map(({ rule }) => rule);
  }

  /** What a path that changed here is called there; null: no rule takes it there. */
  remoteOf(path: string): string | null {
    return toRemote(path, this.out);
  }

  /** What the topic of a message from there is called here; null: no rule takes it here. */
  localOf(topic: string): string | null {
    return toLocal(topic, this.in);
  }

  /** For a response topic of a message that goes there: what the rules that bring responses here call it there. */
  responseThere(path: string): string {
    return toRemote(path, this.in) ?? path;
  }

  /** For a response topic of a message that comes here: what the rules that take responses there call it here. */
  responseHere(topic: string): string {
    return toLocal(topic, this.out) ?? topic;
  }
}

function parseRule({ direction, filter, localPrefix, remotePrefix, qos }: RuleConfig): Rule {
  const local = parsePattern(localPrefix + filter, 'mqtt');
  const remote = parsePattern(remotePrefix + filter, 'mqtt');
  return { local, remote, localPrefix, remotePrefix, qos, both: direction === 'both' };
}

/** `a/#` matches `a`, too: without the slash of a prefix `a/` that has no name on the other side. */
function toRemote(path: string, rules: readonly Rule[]): string | null {
  for (const { local, localPrefix, remotePrefix } of rules) {
    if (local.matches(path) && path.startsWith(localPrefix)) return remotePrefix + path.slice(localPrefix.length);
  }
  return null;
}

function toLocal(topic: string, rules: readonly Rule[]): string | null {
  for (const { remote, localPrefix, remotePrefix } of rules) {
    if (remote.matches(topic) && topic.startsWith(remotePrefix)) return localPrefix + topic.slice(remotePrefix.length);
  }
  return null;
}
