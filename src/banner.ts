// The banner: what listens where, how to try each protocol, how to open the gateway to the network. Pure text.

import { isIPv6 } from 'node:net';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from './config/index.js';
import type { Listeners, Listening, NodeInfo } from './core/index.js';
import { isLoopback } from './core/sockets/addresses.js';

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url));

export function banner(config: Config, node: NodeInfo, listeners: Listeners): string {
  const at = (name: string): Listening => listeners.get(name) ?? { host: config.host, port: 0 };
  const [happn, mqtt, haven, admin] = ['happn', 'mqtt', 'haven', 'admin'].map(at) as [Listening, Listening, Listening, Listening];
  const mqttTls = listeners.get('mqttTls');
  const secure = config.tls.enabled ? 's' : '';
  const login = config.secure ? ' -u _ADMIN -P PASSWORD' : '';
  const example = (name: string, port: number): string => `node ${join(relative(process.cwd(), EXAMPLES), name)} ${port}`;
  const lines = [
    '',
    `Trivium ${node.version} is ready: one data space, three protocols.`,
    '',
    `  happn  ws${secure}://${place(happn)}`,
    `  MQTT   mqtt://${place(mqtt)}, ${mqttTls === undefined ? '' : `mqtts://${place(mqttTls)}, `}ws${secure}://${place(happn)}/mqtt`,
    `  Haven  tcp://${place(haven)}, ws${secure}://${place(happn)}/haven`,
    `  admin  http://${place(admin)}/health, http://${place(admin)}/metrics`,
    '',
    `  node   ${node.name} (${node.id})`,
    `  data   ${config.data.dir}, durability ${config.durability}`,
    '',
    'Try it, each in a terminal of its own:',
    '',
    `  mosquitto_sub${mosquittoAddress(mqtt)}${login} -v -t '/demo/#'`,
    `  mosquitto_pub${mosquittoAddress(mqtt)}${login} -r -t /demo/temperature -m 21.5`,
    // The examples log in as nobody, and speak without TLS.
    ...(config.tls.enabled || config.secure ? [] : [`  ${example('happn.mjs', happn.port)}`]),
    ...(config.secure ? [] : [`  ${example('haven.mjs', haven.port)}`]),
    `  curl http://${place(admin)}/health`,
    '',
    config.secure
      ? `Everybody has to log in; users are kept in ${config.data.dir}. For production see docs/security.md and trivium doctor.`
      : isLoopback(config.host)
        ? 'Only this machine can connect. To open it to the network for users who log in, add:\n  --secure'
        : 'WARNING: nobody has to log in. Everyone who reaches these ports may read and write everything.',
    '',
    'Ctrl-C stops.',
    '',
  ];
  return lines.join('\n');
}

/** Host and port as they stand in a URL that this machine can use. */
function place({ host, port }: Listening): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

function mosquittoAddress({ host, port }: Listening): string {
  const usual = host === '127.0.0.1' || host === '0.0.0.0' || host === 'localhost';
  return `${usual ? '' : ` -h ${host === '::' ? '::1' : host}`}${port === 1883 ? '' : ` -p ${port}`}`;
}
