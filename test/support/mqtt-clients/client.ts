// MQTT client libraries and programs of other makers behind one face, so that the same stories can be told with all of them.

export type Version = 3 | 4 | 5;

export const VERSION_NAMES: Readonly<Record<Version, string>> = { 3: '3.1', 4: '3.1.1', 5: '5' };

export interface Heard {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
}

export interface ConnectOptions {
  readonly clientId: string;
  /** Default true. Of version 5: a clean start, and a session that ends with its connection. */
  readonly clean?: boolean;
  /** Seconds; default 60. */
  readonly keepAlive?: number;
  readonly will?: { readonly topic: string; readonly payload: string; readonly qos: number; readonly retain: boolean };
}

export interface StoryClient {
  /** Everything that came, oldest first. */
  readonly heard: readonly Heard[];
  /** Of the CONNACK; null: the client does not tell. */
  readonly sessionPresent: boolean | null;
  /** The connection is over; null: the client does not tell. */
  readonly ended: boolean | null;
  /** Resolves with the level granted, 128 and above for a refusal. */
  subscribe(filter: string, qos: number): Promise<number>;
  unsubscribe(filter: string): Promise<void>;
  /** Resolves when the last acknowledgement is there. */
  publish(topic: string, payload: string | Buffer, qos: number, retain?: boolean): Promise<void>;
  /** Does not try to come back once its connection is ended. */
  holdStill(): void;
  /** With DISCONNECT. */
  disconnect(): Promise<void>;
  /** Without. */
  cut(): Promise<void>;
}

/** One client library or program, speaking one version over one transport. */
export interface Maker {
  readonly name: string;
  readonly version: Version;
  /** Seconds; the shortest keep alive that it takes. */
  readonly shortestKeepAlive: number;
  readonly canUnsubscribe: boolean;
  /** Its DISCONNECT asks for the will (reason code 4). */
  readonly leavesWillAlways: boolean;
  connect(options: ConnectOptions): Promise<StoryClient>;
}

/** How long a session of version 5 that is to be kept outlives its connection, in seconds. */
export const SESSION_EXPIRY = 300;
