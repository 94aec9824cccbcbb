// What the gateway has to reach, as ratios to peers of the same run (or absolute where no peer has the like).

const WALL = { measure: 'wall time', of: (server) => server.perSecond };
const CPU = { measure: 'server CPU', of: (server) => server.perCpuSecond };
const KB = 1024;
const MB = 1024 * KB;

/**
 * `peer`: the server that the gateway is divided by; `variant`: which variant of the load counts; `base`: the variant of the
 * gateway itself that it is compared with, by division or, with `minus`, by subtraction.
 */
export const TARGETS = [
  { load: 'happn-set-nostore', peer: 'happn-3', ...CPU, atLeast: 1.5 },
  { load: 'happn-set-stored', peer: 'happn-3', ...CPU, atLeast: 1 },
  { load: 'happn-get', peer: 'happn-3', ...CPU, atLeast: 1.5 },
  { load: 'happn-fan-out', peer: 'happn-3', ...CPU, atLeast: 3 },
  { load: 'happn-wildcard-get', peer: 'happn-3', ...CPU, atLeast: 5 },
  { load: 'happn-subscriptions', variant: '1,000', base: 'none', ...CPU, atLeast: 0.9 },
  { load: 'mqtt-qos0', peer: 'aedes', ...WALL, atLeast: 1.5 },
  { load: 'mqtt-qos0', peer: 'aedes', ...CPU, atLeast: 2.5 },
  { load: 'mqtt-qos0', peer: 'mosquitto', ...WALL, atLeast: 1.2 },
  { load: 'mqtt-qos0', peer: 'mosquitto', ...CPU, atLeast: 2.5 },
  { load: 'mqtt-fan-out', peer: 'mosquitto', ...CPU, atLeast: 10 },
  { load: 'mqtt-fan-in', peer: 'mosquitto', ...WALL, atLeast: 1.5 },
  { load: 'mqtt-qos1', peer: 'mosquitto', ...CPU, atLeast: 1.5 },
  { load: 'mqtt-retained', peer: 'mosquitto', ...CPU, atLeast: 0.5 },
  { load: 'mqtt-version-qos0', variant: '5', base: '3.1.1', ...CPU, atLeast: 0.8 },
  { load: 'mqtt-version-qos1', variant: '5', base: '3.1.1', ...CPU, atLeast: 0.8 },
  {
    load: 'mqtt-stopped-reader',
    variant: 'one stops',
    measure: "ms, others' longest gap",
    of: (server) => server.longestGapMs,
    atMost: 1000,
  },
  {
    load: 'mqtt-stopped-reader',
    variant: 'one stops',
    base: 'all read',
    minus: true,
    measure: 'MB more at the peak',
    of: (server) => server.peakBytes / MB,
    atMost: 32,
  },
  { load: 'mqtt-reconnect', measure: 'ms until all are served', of: (server) => server.servedMs, atMost: 15_000 },
  { load: 'mqtt-reconnect', measure: "ms, others' p99", of: (server) => server.p99Ms, atMost: 500 },
  { load: 'mqtt-reconnect5', measure: 'ms until all are served', of: (server) => server.servedMs, atMost: 15_000 },
  { load: 'mqtt-reconnect5', measure: "ms, others' p99", of: (server) => server.p99Ms, atMost: 500 },
  { load: 'haven-read', peer: 'redis', ...WALL, atLeast: 0.5 },
  { load: 'haven-write', peer: 'redis', ...WALL, atLeast: 1 },
  { load: 'haven-write-many', peer: 'redis', ...WALL, atLeast: 1 },
  { load: 'haven-watch-push', measure: 'events a second', of: (server) => server.perSecond, atLeast: 300_000 },
  { load: 'group-commit-happn', measure: 'sets a second', of: (server) => server.perSecond, atLeast: 20_000 },
  { load: 'group-commit-haven', measure: 'writes a second', of: (server) => server.perSecond, atLeast: 20_000 },
  { load: 'start-100k', measure: 'ms to ready', of: (server) => server.readyMs, atMost: 2000 },
  { load: 'idle-mqtt', measure: 'KB a connection', of: (server) => server.bytesPerConnection / KB, atMost: 16 },
  { load: 'idle-mqtt5', measure: 'KB a connection', of: (server) => server.bytesPerConnection / KB, atMost: 16 },
];

/** Each target with its actual figure: null when it was not measured in this run. */
export function judge(loads) {
  return TARGETS.map((target) => {
    const { peer = null, variant = null, base = null, measure, minus = false } = target;
    const servers = loads.find((load) => load.name === target.load)?.servers ?? [];
    const figure = (kind, of) => {
      const server = servers.find((each) => each.server === kind && (each.variant ?? null) === of);
      return server === undefined || server.error !== null ? null : target.of(server);
    };
    const isRatio = !minus && (peer !== null || base !== null);
    const own = figure('trivium', variant);
    const other = isRatio || minus ? figure(peer ?? 'trivium', base ?? variant) : 1;
    const actual = own === null || other === null ? null : minus ? own - other : own / other;
    const isFloor = target.atLeast !== undefined;
    const wanted = target.atLeast ?? target.atMost;
    return {
      load: target.load,
      case: variant,
      against: peer ?? base,
      measure,
      isRatio,
      bound: isFloor ? 'at least' : 'at most',
      wanted,
      actual,
      met: actual === null ? null : isFloor ? actual >= wanted : actual <= wanted,
    };
  });
}
