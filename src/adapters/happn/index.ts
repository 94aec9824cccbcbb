// The happn adapter's face: the adapter class, its configuration, and the client inside the process.

export { HAPPN_DEFAULTS, HappnAdapter, type HappnConfig } from './adapter.js';
export type { EventMessage, HappnLayers, InboundMessage, Layer, LayerSession, OutboundMessage, ResponseMessage } from './layers.js';
export type {
  LocalClient,
  LocalClientError,
  LocalDocument,
  LocalEventHandler,
  LocalGetOptions,
  LocalHandler,
  LocalMeta,
  LocalOnOptions,
  LocalSetOptions,
} from './local-client.js';
