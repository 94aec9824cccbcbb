// A first message over MQTT with the mqtt package; mosquitto_pub and mosquitto_sub do the same.
//   node examples/mqtt.mjs [port]

import { connect } from 'mqtt';

const port = process.argv[2] ?? 1883;
const client = connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });

client.on('message', (topic, payload) => {
  console.log(`heard ${topic}: ${payload}`);
  if (String(payload).includes('hello from MQTT')) client.end();
});
client.on('connect', () => {
  client.subscribe('/demo/#', { qos: 1 }, () => {
    client.publish('/demo/greeting', JSON.stringify({ text: 'hello from MQTT' }), { qos: 1, retain: true });
  });
});
client.on('error', (error) => {
  const hint = error.code === 'ECONNREFUSED' ? '; is the gateway running?' : '';
  console.error(`cannot talk to port ${port}: ${error.message || error.code}${hint}`);
  process.exitCode = 1;
});
