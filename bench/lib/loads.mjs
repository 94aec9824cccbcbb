// The loads: what is sent, to which servers. `driver` names the generator's function (another one for some servers).

const WINDOW = 64;
const PAYLOAD_BYTES = 64;

const common = { window: WINDOW, payloadBytes: PAYLOAD_BYTES };

/** Loads that are driven for some seconds, in rounds. `unit` is what a message is here. */
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
    name: 'haven-write',
    title: 'Haven write (gateway and redis: durable)',
    unit: 'answers',
    protocol: 'haven',
    driver: { default: 'haven-write', redis: 'redis-write' },
    servers: ['trivium', 'redis'],
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
  { name: 'idle-happn', title: '2,000 idle happn connections', protocol: 'happn', count: 2_000, servers: ['trivium', 'happn-3'] },
  { name: 'idle-haven', title: '2,000 idle Haven connections', protocol: 'haven', count: 2_000, servers: ['trivium'] },
];

/** From the start of the process until it is ready. */
export const START = [
  { name: 'start-empty', title: 'Start to ready, 0 records', records: 0, servers: ['trivium', 'happn-3', 'aedes', 'mosquitto'] },
  { name: 'start-100k', title: 'Start to ready, 100,000 records', records: 100_000, servers: ['trivium'] },
];

/** The port on which a server takes a load. */
export const portOf = (server, protocol) => (server.kind === 'redis' ? server.ports.redis : server.ports[protocol]);
