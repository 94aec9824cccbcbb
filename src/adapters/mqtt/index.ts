// MQTT 3.1 and 3.1.1 over TCP and websocket.

export { MqttAdapter, type MqttConfig } from './adapter.js';
export { MQTT_LIMITS, type MqttLimits } from './wire.js';
