// Admission: which connections are accepted. Counts them, in all and by address, and lets those wait that are too many without a login.

import { networkOf, peerName } from '../../core/index.js';
import { Rate } from './rate.js';
import type { MqttLimits } from './wire.js';

/** The limit that a connection is over, by its name in the configuration. */
export type Exceeded = 'maxConnections' | 'maxConnectionsPerAddress' | 'maxConnectingPerAddress';

type Limits = Pick<MqttLimits, Exceeded | 'maxConnecting' | 'maxConnectsPerSecond'>;

/** One connection, from its acceptance until its socket is closed. */
export class Visit {
  /** Address and port of the client, for the log. */
  peer = '?';
  /** User that the client's certificate names; null: none. */
  certificateUser: string | null = null;
  /** Its address connects too often: its CONNECT will be refused. */
  isHasty = false;
  /** Where it is counted; null: nowhere, or not known yet. */
  place: Place | null = null;
  /** accepted: it is not known whose it is. waiting: for room. connecting: its first bytes are read. arrived: it has a session. */
  stage: 'accepted' | 'waiting' | 'connecting' | 'arrived' | 'gone' = 'accepted';

  constructor(
    readonly admission: Admission,
    /** Monotonic time from which the connect timeout counts. */
    public openedAt: number,
  ) {}

  /** Its CONNECT was accepted, or it is not read any more. */
  arrive(): void {
    this.admission.arrive(this);
  }

  leave(): void {
    this.admission.leave(this);
  }
}

/** The connections of one address. */
interface Place {
  readonly address: string;
  open: number;
  connecting: number;
  /** null: it may connect as often as it likes. */
  readonly rate: Rate | null;
}

export class Admission {
  #open = 0;
  #connecting = 0;
  readonly #places = new Map<string, Place>();
  /** In order of their coming, and what is called when there is room. */
  readonly #waiting = new Map<Visit, (visit: Visit) => void>();

  constructor(
    private readonly limits: Limits,
    /** Addresses that stand for many clients: not counted one by one. */
    private readonly isExempt: (address: string) => boolean,
    private readonly clock: { monotonic(): number },
  ) {}

  /** A connection is accepted. */
  accept(): Visit | Exceeded {
    if (this.#open >= this.limits.maxConnections) return 'maxConnections';
    this.#open += 1;
    return new Visit(this, this.clock.monotonic());
  }

  /** It is known whose it is; null: it may come in. */
  identify(visit: Visit, address: string, port: number): Exceeded | null {
    visit.peer = peerName(address, port);
    const exceeded = this.isExempt(address) ? null : this.#count(visit, address);
    if (exceeded === null) visit.stage = 'waiting';
    return exceeded;
  }

  #count(visit: Visit, address: string): Exceeded | null {
    const counted = networkOf(address);
    const place = this.#places.get(counted) ?? this.#newPlace(counted);
    if (place.open >= this.limits.maxConnectionsPerAddress) return 'maxConnectionsPerAddress';
    if (place.connecting >= this.limits.maxConnectingPerAddress) return 'maxConnectingPerAddress';
    this.#places.set(counted, place);
    visit.place = place;
    place.open += 1;
    place.connecting += 1;
    visit.isHasty = place.rate !== null && !place.rate.takeOne(this.clock.monotonic());
    return null;
  }

  #newPlace(address: string): Place {
    const { maxConnectsPerSecond } = this.limits;
    const rate = maxConnectsPerSecond === 0 ? null : new Rate(maxConnectsPerSecond, this.clock.monotonic());
    return { address, open: 0, connecting: 0, rate };
  }

  get isCrowded(): boolean {
    return this.#connecting >= this.limits.maxConnecting;
  }

  /** Calls `begin` as soon as there is room among those who have not logged in: now, or later when the visit still lasts. */
  enter(visit: Visit, begin: (visit: Visit) => void): void {
    if (this.isCrowded) this.#waiting.set(visit, begin);
    else this.#letIn(visit, begin);
  }

  #letIn(visit: Visit, begin: (visit: Visit) => void): void {
    this.#connecting += 1;
    visit.stage = 'connecting';
    visit.openedAt = this.clock.monotonic();
    begin(visit);
  }

  arrive(visit: Visit): void {
    if (visit.stage !== 'connecting') return;
    visit.stage = 'arrived';
    if (visit.place !== null) visit.place.connecting -= 1;
    this.#connecting -= 1;
    if (this.#waiting.size > 0) setImmediate(this.#letWaitingIn);
  }

  leave(visit: Visit): void {
    if (visit.stage === 'gone') return;
    const { place } = visit;
    if (visit.stage === 'waiting' && place !== null) place.connecting -= 1;
    this.#waiting.delete(visit);
    this.arrive(visit);
    visit.stage = 'gone';
    this.#open -= 1;
    if (place === null) return;
    place.open -= 1;
    if (place.open === 0 && place.rate === null) this.#places.delete(place.address);
  }

  readonly #letWaitingIn = (): void => {
    for (const [visit, begin] of this.#waiting) {
      if (this.isCrowded) return;
      this.#waiting.delete(visit);
      this.#letIn(visit, begin);
    }
  };

  /** Called about twice a second: forgets addresses that have nothing open, and connect seldom enough. */
  onTick(now: number): void {
    if (this.limits.maxConnectsPerSecond === 0) return;
    for (const place of this.#places.values()) {
      if (place.open === 0 && place.rate?.isFull(now) === true) this.#places.delete(place.address);
    }
  }

  /** Open connections. */
  get open(): number {
    return this.#open;
  }

  /** Addresses that are counted. */
  get addresses(): number {
    return this.#places.size;
  }
}
