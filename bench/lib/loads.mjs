// The loads: what is sent, to which servers. `driver` names the generator's function (another one for some servers).

const WINDOW = 64;
const PAYLOAD_BYTES = 64;

const common = { window: WINDOW, payloadBytes: PAYLOAD_BYTES };

const VERSIONS = [
  { name: '3.1.1', options: { version: 4 } },
  { name: '5', options: { version: 5 } },
];

/**
 * Loads that are driven for some seconds, in rounds.
 *
 * - `unit`: what a message is here
 * - `records`: stored before the first round
 * - `variants`: each server is driven in all of them, in turn; they add to the options, and compare with the first one
 * - `seconds`: measured seconds of a round where the usual ones would not show it
 * - `columns`: further figures of the table
 */
export const STEADY = [
  {
    name: 'happn-set-nostore',
    title: 'happn set with noStore',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-set' },
    servers: ['trivium', 'happn-3', 'ws-echo'],
    options: { ...common, store: false },
  },
  {
    name: 'happn-latency',
    title: 'happn set with noStore, one at a time',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-set' },
    servers: ['trivium', 'happn-3', 'ws-echo'],
    options: { ...common, window: 1, store: false },
  },
  {
    name: 'happn-set-stored',
    title: 'happn set, stored (gateway: durable, happn-3: in memory)',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-set' },
    servers: ['trivium', 'happn-3'],
    options: { ...common, store: true },
  },
  {
    name: 'happn-get',
    title: 'happn get of one of 1,024 records',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-get' },
    servers: ['trivium', 'happn-3', 'ws-echo'],
    options: common,
  },
  {
    name: 'happn-wildcard-get',
    title: 'happn get of 100 of 100,000 records by a pattern',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-get-group' },
    servers: ['trivium', 'happn-3'],
    records: 100_000,
    options: { ...common, window: 4, records: 100_000 },
  },
  {
    name: 'happn-wildcard-scan',
    title: 'happn get of 100 of 100,000 records by a pattern that begins with a wildcard in its third level',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-get-name' },
    servers: ['trivium', 'happn-3'],
    records: 100_000,
    options: { ...common, window: 4, records: 100_000 },
  },
  {
    name: 'happn-subscriptions',
    title: 'happn set with noStore beside subscriptions with wildcards that do not match',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-set' },
    servers: ['trivium', 'happn-3'],
    options: { ...common, store: false },
    variants: [
      { name: 'none', options: { wildcards: 0 } },
      { name: '1,000', options: { wildcards: 1000 } },
    ],
  },
  {
    name: 'happn-fan-out',
    title: 'happn event, 1 publisher to 100 subscribers',
    unit: 'deliveries',
    protocol: 'happn',
    driver: { default: 'happn-fan-out' },
    servers: ['trivium', 'happn-3'],
    options: { ...common, subscribers: 100 },
  },
  {
    name: 'mqtt-qos0',
    title: 'MQTT QoS 0, 1 to 1',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-out' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: { ...common, subscribers: 1 },
  },
  {
    name: 'mqtt-latency',
    title: 'MQTT QoS 0, 1 to 1, one at a time',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-out' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: { ...common, window: 1, subscribers: 1 },
  },
  {
    name: 'mqtt-fan-out',
    title: 'MQTT QoS 0, 1 to 100',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-out' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: { ...common, subscribers: 100 },
  },
  {
    name: 'mqtt-fan-in',
    title: 'MQTT QoS 0, 100 to 1 (window over all publishers, one packet a write)',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-in' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: { ...common, publishers: 100 },
  },
  {
    name: 'mqtt-qos1',
    title: 'MQTT QoS 1, 1 to 1',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-at-least-once' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: common,
  },
  {
    name: 'mqtt-retained',
    title: 'MQTT QoS 1 retained (gateway: durable, peers: in memory)',
    unit: 'acknowledgements',
    protocol: 'mqtt',
    driver: { default: 'mqtt-retained' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: common,
  },
  {
    name: 'mqtt-version-qos0',
    title: 'MQTT QoS 0, 1 to 1, by protocol version',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-out' },
    servers: ['trivium', 'mosquitto'],
    options: { ...common, subscribers: 1 },
    variants: VERSIONS,
  },
  {
    name: 'mqtt-version-qos1',
    title: 'MQTT QoS 1, 1 to 1, by protocol version',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-at-least-once' },
    servers: ['trivium', 'mosquitto'],
    options: common,
    variants: VERSIONS,
  },
  {
    name: 'mqtt-stopped-reader',
    title: 'MQTT QoS 0, 1 KiB, 1 to 10, beside a subscriber that reads no more',
    unit: 'deliveries',
    protocol: 'mqtt',
    driver: { default: 'mqtt-fan-out' },
    servers: ['trivium', 'aedes', 'mosquitto'],
    options: { ...common, payloadBytes: 1024, subscribers: 10 },
    variants: [
      { name: 'all read', options: { stopped: 0 } },
      { name: 'one stops', options: { stopped: 1 } },
    ],
    seconds: 3,
    columns: ['longestGapMs', 'peakBytes'],
  },
  {
    name: 'haven-write',
    title: 'Haven write (gateway and redis: durable)',
    unit: 'answers',
    protocol: 'haven',
    driver: { default: 'haven-write', redis: 'redis-write' },
    servers: ['trivium', 'redis', 'haven-log'],
    options: common,
  },
  {
    name: 'haven-read',
    title: 'Haven read of one of 1,024 records',
    unit: 'answers',
    protocol: 'haven',
    driver: { default: 'haven-read', redis: 'redis-read' },
    servers: ['trivium', 'redis'],
    options: common,
  },
  {
    name: 'haven-write-many',
    title: 'Haven write, 16 connections of 16 in flight (gateway and redis: durable)',
    unit: 'answers',
    protocol: 'haven',
    driver: { default: 'haven-write', redis: 'redis-write' },
    servers: ['trivium', 'redis', 'haven-log'],
    options: { ...common, window: 16, connections: 16 },
  },
  {
    name: 'haven-watch-push',
    title: 'Haven watch events, pushed, of 1 writer to 1,000 watchers (writes: durable)',
    unit: 'deliveries',
    protocol: 'haven',
    driver: { default: 'haven-watch-push' },
    servers: ['trivium'],
    options: { ...common, subscribers: 1000 },
  },
  {
    name: 'group-commit-happn',
    title: 'Durable happn sets, 4 connections of 64 in flight',
    unit: 'answers',
    protocol: 'happn',
    driver: { default: 'happn-set' },
    servers: ['trivium'],
    options: { ...common, store: true, connections: 4 },
  },
  {
    name: 'group-commit-haven',
    title: 'Durable Haven writes, 4 connections of 64 in flight',
    unit: 'answers',
    protocol: 'haven',
    driver: { default: 'haven-write', redis: 'redis-write' },
    servers: ['trivium', 'redis'],
    options: { ...common, connections: 4 },
  },
];

/** Connections that say nothing: what one costs in resident memory. */
export const IDLE = [
  { name: 'idle-mqtt', title: '10,000 idle MQTT connections', protocol: 'mqtt', count: 10_000, servers: ['trivium', 'aedes', 'mosquitto'] },
  {
    name: 'idle-mqtt5',
    title: '10,000 idle MQTT 5 connections',
    protocol: 'mqtt',
    connect: 'mqtt5',
    count: 10_000,
    servers: ['trivium', 'mosquitto'],
  },
  { name: 'idle-happn', title: '2,000 idle happn connections', protocol: 'happn', count: 2_000, servers: ['trivium', 'happn-3'] },
  { name: 'idle-haven', title: '2,000 idle Haven connections', protocol: 'haven', count: 2_000, servers: ['trivium'] },
];

/** Clients that come back all at once, while the messages of others go on. */
const crowd = {
  protocol: 'mqtt',
  count: 10_000,
  beside: { pairs: 10, everyMs: 1, payloadBytes: PAYLOAD_BYTES },
};
export const CROWD = [
  {
    ...crowd,
    name: 'mqtt-reconnect',
    title: '10,000 MQTT clients with durable sessions reconnect at once, beside 10 pairs that exchange 1,000 messages a second',
    servers: ['trivium', 'aedes', 'mosquitto'],
  },
  {
    ...crowd,
    name: 'mqtt-reconnect5',
    title: 'The same with MQTT 5 clients',
    version: 5,
    servers: ['trivium', 'mosquitto'],
  },
];

/** From the start of the process until it is ready. */
export const START = [
  { name: 'start-empty', title: 'Start to ready, 0 records', records: 0, servers: ['trivium', 'happn-3', 'aedes', 'mosquitto'] },
  { name: 'start-100k', title: 'Start to ready, 100,000 records', records: 100_000, servers: ['trivium'] },
];

/** The port on which a server takes a load. */
export const portOf = (server, protocol) => (server.kind === 'redis' ? server.ports.redis : server.ports[protocol]);
