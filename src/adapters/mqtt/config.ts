// The settings of MQTT listeners and clients.

import type { Identity } from '../../core/index.js';
import type { ClientCertificates } from './handshakes.js';
import type { Authenticators } from './v5/authentication.js';
import type { MqttLimits } from './wire.js';

export interface MqttConfig {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Put before every topic; default none. */
  readonly mountPoint?: string;
  /** Largest packet of a connected client; default 1 MiB. */
  readonly maxPacketBytes?: number;
  readonly limits?: Partial<MqttLimits>;
  /** What MQTT 5 clients are told that ask for response information; default nothing. */
  readonly responseInformation?: string;
  /** Enhanced authentication of MQTT 5, by method; default none. */
  readonly authenticators?: Authenticators;
  /** A second port, for TLS; its certificate comes through `setSecureContext`. */
  readonly tls?: ClientCertificates & { readonly port: number | null };
  /** 'required': every TCP connection begins with a PROXY header; default 'off'. */
  readonly proxyProtocol?: 'off' | 'required';
  /** Addresses and networks of proxies: who may send that header. Not limited as the address of one client. */
  readonly proxyAddresses?: readonly string[];
  /** Time between publications of $SYS topics; 0: there are none. Default 10 s. */
  readonly sysIntervalMs?: number;
  /** Who reads them; default everybody. */
  readonly isAdministrator?: (identity: Identity) => boolean;
}
