// MQTT 3.1 and 3.1.1 over TCP and websocket.

export { MqttAdapter } from './adapter.js';
export { BridgeAdapter, type BridgesConfig } from './bridge/adapter.js';
export type { BridgeConfig } from './bridge/config.js';
export type { MqttConfig } from './config.js';
export { clientOf, whose } from './durable-keys.js';
export { MQTT_LIMITS, type MqttLimits } from './wire.js';
