// The configuration of one bridge, as a type. Values are checked before they come here.

export type Direction = 'in' | 'out' | 'both';

/** Which topics cross, and how they are called: `localPrefix + filter` here is `remotePrefix + filter` there. */
export interface RuleConfig {
  readonly direction: Direction;
  /** An MQTT topic filter; empty: the prefixes alone are one topic. */
  readonly filter: string;
  readonly localPrefix: string;
  readonly remotePrefix: string;
  /** Highest level at which messages cross. */
  readonly qos: 0 | 1 | 2;
}

export interface BridgeConfig {
  /** Unique; what is kept of the bridge over restarts is kept under it. */
  readonly name: string;
  /** mqtt, mqtts, ws or wss; without credentials. */
  readonly url: string;
  readonly version: '5' | '3.1.1';
  /** null: made of this gateway's id and the name. */
  readonly clientId: string | null;
  readonly username: string | null;
  /** At most one of the three is set. */
  readonly password: string | null;
  readonly passwordFile: string | null;
  /** Name of an environment variable. */
  readonly passwordEnv: string | null;
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly rejectUnauthorized: boolean;
  /** 0: no keep alive. */
  readonly keepAliveSeconds: number;
  /** true: neither side keeps anything while they are apart. */
  readonly cleanSession: boolean;
  /** Asks a 3.1.1 remote to treat this client as a bridge. */
  readonly bridgeMode: boolean;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Messages of QoS 1 and 2 that the remote may have unacknowledged. */
  readonly outgoingWindow: number;
  /** Bridges that a message may cross (version 5). */
  readonly maxHops: number;
  readonly rules: readonly RuleConfig[];
}
