// The remote as a bridge sees it: what it announces, messages, acknowledgements, and why it is gone. No library here.

import type { Qos } from '../../../core/index.js';

/** What version 5 lets a message say of itself beside its payload. */
export interface MessageProperties {
  readonly contentType: string | null;
  readonly responseTopic: string | null;
  readonly correlationData: Uint8Array | null;
  /** Payload format indicator 1. */
  readonly isText: boolean;
  /** Seconds; null: it does not expire. */
  readonly expirySeconds: number | null;
  /** In order; names may repeat. */
  readonly user: readonly (readonly [name: string, value: string])[];
}

/** A message from the remote. */
export interface RemoteMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 at QoS 0. */
  readonly packetId: number;
  /** null in 3.1.1. */
  readonly properties: MessageProperties | null;
}

/** A message for the remote. At QoS 1 and 2 `packetId` is free, or 0 for any. Properties are for version 5. */
export interface OutgoingMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly packetId: number;
  readonly properties: MessageProperties;
}

export interface RemoteFilter {
  readonly filter: string;
  readonly qos: Qos;
}

/** What the remote answered to CONNECT. */
export interface RemoteFacts {
  /** It knows the session from before. */
  readonly sessionPresent: boolean;
  /** Unacknowledged messages of QoS 1 and 2 that it takes. */
  readonly receiveMaximum: number;
  readonly maximumQos: Qos;
  readonly retainAvailable: boolean;
  /** Largest packet that it takes. */
  readonly maximumPacketBytes: number;
  /** It does not send back what it got from here: version 5, or a 3.1.1 remote that knows bridges. */
  readonly noEcho: boolean;
  /** Id of the gateway that it is; null: it is none, or does not say. */
  readonly node: string | null;
}

/** Why a connection ended or was not made. */
export interface Loss {
  /** Whether the remote had accepted the CONNECT. */
  readonly accepted: boolean;
  /** What happened and what to do, for the log and for health. */
  readonly reason: string;
  /** The remote does not take the level of CONNECT, or ended the connection instead of an answer. */
  readonly levelRefused: boolean;
}

/** Who uses a connection. */
export interface ConnectionOwner {
  /** The remote accepted the CONNECT; messages may come from now on. */
  onAccepted(facts: RemoteFacts): void;
  /** What was left to be released of an earlier connection is; publishing and subscribing may begin. */
  onReady(): void;
  /** `acknowledge` it unless its QoS is 0. */
  onMessage(message: RemoteMessage): void;
  /** PUBREL: the packet id of a message of QoS 2 is free again when `done` is called. */
  onReleased(packetId: number, done: () => void): void;
  /** PUBREC: the remote has the message; PUBREL follows when `done` is called. */
  onReceived(packetId: number, done: () => void): void;
  /** PUBACK or PUBCOMP, or a refusal in their place: the message is done. */
  onCompleted(packetId: number, refusal: string | null): void;
  /** The socket takes more again. */
  onDrain(): void;
  /** Once; nothing follows. */
  onLost(loss: Loss): void;
}
