// What the gateway has to reach, as ratios to peers of the same run (or absolute where no peer has the like).

const wall = (server) => server.perSecond;
const cpu = (server) => server.perCpuSecond;

export const TARGETS = [
  { load: 'mqtt-qos0', peer: 'aedes', of: wall, measure: 'wall time', atLeast: 1.5 },
  { load: 'mqtt-qos0', peer: 'mosquitto', of: wall, measure: 'wall time', atLeast: 1.2 },
  { load: 'mqtt-fan-out', peer: 'mosquitto', of: cpu, measure: 'server CPU', atLeast: 5 },
  { load: 'mqtt-qos1', peer: 'mosquitto', of: cpu, measure: 'server CPU', atLeast: 1 },
  { load: 'happn-set-nostore', peer: 'happn-3', of: cpu, measure: 'server CPU', atLeast: 1.2 },
  { load: 'happn-fan-out', peer: 'happn-3', of: cpu, measure: 'server CPU', atLeast: 2 },
  { load: 'happn-set-stored', peer: 'happn-3', of: cpu, measure: 'server CPU', atLeast: 1 },
  { load: 'group-commit-happn', peer: null, of: wall, measure: 'sets a second', atLeast: 20_000 },
  { load: 'group-commit-haven', peer: null, of: wall, measure: 'writes a second', atLeast: 20_000 },
  { load: 'start-100k', peer: null, of: (server) => server.readyMs, measure: 'ms to ready', atMost: 2000 },
  { load: 'idle-mqtt', peer: null, of: (server) => server.bytesPerConnection / 1024, measure: 'KB a connection', atMost: 20 },
];

/** Each target with its actual figure: null when it was not measured in this run. */
export function judge(loads) {
  return TARGETS.map((target) => {
    const servers = loads.find((load) => load.name === target.load)?.servers ?? [];
    const figure = (kind) => {
      const server = servers.find((each) => each.server === kind);
      return server === undefined || server.error !== null ? null : target.of(server);
    };
    const own = figure('trivium');
    const other = target.peer === null ? 1 : figure(target.peer);
    const actual = own === null || other === null ? null : own / other;
    const wanted = target.atLeast ?? target.atMost;
    const met = actual === null ? null : target.atLeast === undefined ? actual <= wanted : actual >= wanted;
    return {
      load: target.load,
      peer: target.peer,
      measure: target.measure,
      bound: target.atLeast === undefined ? 'at most' : 'at least',
      wanted,
      actual,
      met,
    };
  });
}
