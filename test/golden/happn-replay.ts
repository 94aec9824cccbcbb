// Replays a recorded happn exchange against a gateway: sends what the client sent, and compares what comes back with what was
// recorded, with placeholders for what differs from run to run. What differs on purpose is said in happn-deviations.ts.

import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { until } from '../support/gateway-process.js';
import { type HappnGateway, type HappnWire, startHappn } from '../support/happn-wire.js';
import { dataOf, type Fields, metaOf, placeholders, sorted, unsigned } from './happn-placeholders.js';
import { SecureServer, type SecureSetup, tokenOf, type Who } from './happn-secure-server.js';
import { type MeshNode, playMeshNode } from './happner-node.js';

/** One line of a capture. */
interface Line {
  readonly step?: string;
  readonly dir: 'c2s' | 's2c';
  readonly conn?: number;
  readonly event?: 'upgrade' | 'open' | 'close';
  readonly unparsed?: boolean;
  readonly frame: unknown;
}

/** What one side said until the other side had its say. */
export interface Exchange {
  /** From 1. */
  readonly number: number;
  readonly title: string;
  readonly sends: readonly Line[];
  readonly expects: readonly Expected[];
}

export interface Expected {
  readonly conn: number;
  /** A frame, or the text `<closed>`. */
  readonly frame: unknown;
}

export interface Deviation {
  readonly why: string;
  /** What comes instead of what was recorded. */
  readonly expect: (recorded: readonly Expected[]) => readonly Expected[];
}

export interface Capture {
  readonly name: string;
  /** Records that were there before. */
  readonly records: readonly (readonly [path: string, data: unknown])[];
  /** As the server was configured, beyond what all have in common. */
  readonly config?: { readonly pingIntervalMs: number };
  /** What the server was called. */
  readonly node?: string;
  /** The mesh node that answers the requests of the recorded client. */
  readonly mesh?: MeshNode;
  /** The users of the server; absent: nobody had to log in. */
  readonly secure?: SecureSetup;
  /** Applies to all recorded exchanges: a difference of the whole file. */
  readonly translate?: (recorded: readonly Expected[]) => readonly Expected[];
  /** Said of each exchange that `translate` changed. */
  readonly translation?: string;
  readonly deviations: { readonly [number: number]: Deviation };
}

export interface Verdict {
  readonly exchange: Pick<Exchange, 'number' | 'title'>;
  /** differs: on purpose, and as its deviation says. */
  readonly verdict: 'passes' | 'differs';
  readonly why: string;
}

const FOLDER = new URL('./captures/happn/', import.meta.url);

function linesOf(name: string): Line[] {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as Line[];
}

/** The frames that a capture has of the server. */
export function recordedAnswers(name: string): unknown[] {
  return linesOf(name).flatMap(({ dir, event, frame }) => (dir === 's2c' && event === undefined ? [frame] : []));
}

/** Heartbeats of the server and their answers: they come when they come, between any two frames. */
function isHeartbeat({ dir, frame }: Line): boolean {
  return typeof frame === 'string' && frame.startsWith(dir === 's2c' ? PING : PONG);
}
const PING = 'primus::ping::';
const PONG = 'primus::pong::';

export function readCapture(name: string): Exchange[] {
  const lines = linesOf(name).filter((line, at, all) => !isHeartbeat(line) && !isEarlierEnd(line, all.slice(at + 1)));
  const exchanges: Exchange[] = [];
  let sends: Line[] = [];
  let expects: Expected[] = [];
  const finish = (): void => {
    const title = sends.find((line) => line.step !== undefined)?.step ?? describe(sends);
    if (sends.length > 0 || expects.length > 0) exchanges.push({ number: exchanges.length + 1, title, sends, expects });
    sends = [];
    expects = [];
  };
  for (const line of lines) {
    if (line.event === 'open') continue;
    if (line.dir === 's2c' && line.step === undefined) {
      expects.push({ conn: line.conn ?? 1, frame: line.event === 'close' ? '<closed>' : line.frame });
      continue;
    }
    if (expects.length > 0 || (line.step !== undefined && sends.length > 0)) finish();
    if (line.dir === 'c2s') sends.push(line);
    else {
      // Something the server was told to do.
      sends.push({ ...line, frame: null });
      expects.push({ conn: line.conn ?? 1, frame: line.event === 'close' ? '<closed>' : line.frame });
    }
  }
  finish();
  return exchanges;
}

/** The end of a client before this one, which was written down behind the beginning of this one. */
function isEarlierEnd({ dir, event, conn }: Line, later: readonly Line[]): boolean {
  return dir === 'c2s' && event === 'close' && later.some((line) => line.dir === 'c2s' && line.conn === conn && line.event !== 'close');
}

function describe(sends: readonly Line[]): string {
  return sends.map((line) => line.event ?? actionOf(line.frame)).join(', ');
}

function actionOf(frame: unknown): string {
  if (typeof frame === 'string') return frame;
  const { action, path } = frame as { action?: string; path?: string };
  return [action ?? 'no action', path].filter((part) => part !== undefined).join(' ');
}

/** Plays all exchanges; throws, naming each that does not come out as recorded, or as its deviation says. */
export async function replay(capture: Capture): Promise<Verdict[]> {
  const gateway = await startServer(capture);
  const player = new Player(gateway, capture);
  const verdicts: Verdict[] = [];
  try {
    await player.prepare();
    for (const exchange of readCapture(capture.name)) verdicts.push(await player.play(exchange));
    await player.end();
  } finally {
    await gateway.stop();
  }
  if (player.failures.length > 0) throw new Error(player.failures.join('\n'));
  return verdicts;
}

async function startServer({ secure, config, node }: Capture): Promise<HappnGateway | SecureServer> {
  if (secure !== undefined) return await SecureServer.start(secure, node);
  // The time-out is the one of the recordings.
  return await startHappn({ ackTimeoutMs: 700, ...config }, node);
}

class Player {
  readonly failures: string[] = [];
  readonly #wires = new Map<number, HappnWire>();
  /** Frames of each connection that were compared. */
  readonly #seen = new Map<number, number>();
  /** Recorded ids and the ones that they are here. */
  readonly #ids = new Map<string, string>();
  #barriers = 0;
  #node: HappnWire | null = null;
  #stopped = false;
  readonly #secure: SecureServer | null;

  constructor(
    private readonly gateway: HappnGateway | SecureServer,
    private readonly capture: Capture,
  ) {
    this.#secure = gateway instanceof SecureServer ? gateway : null;
  }

  async prepare(): Promise<void> {
    const { records, mesh } = this.capture;
    if (mesh !== undefined) {
      this.#node = await this.#anybody();
      await playMeshNode(this.#node, mesh);
      this.#ids.set(mesh.session, this.#node.sessionId as string);
    }
    await this.#prepareLogins();
    if (records.length === 0) return;
    const wire = await this.#anybody();
    for (const [path, data] of records) await wire.request('set', { path, data });
    await wire.close();
  }

  /** Somebody who may do everything. */
  async #anybody(): Promise<HappnWire> {
    if (this.#secure !== null) return await this.#secure.enter({ username: '_ADMIN' });
    return await (await this.gateway.connect()).login('happn_4', '13.12.1');
  }

  /** Logs in whoever was there before the first line, and makes the tokens and keys that came from elsewhere. */
  async #prepareLogins(): Promise<void> {
    if (this.#secure === null) return;
    const { logins = {}, tokens = {}, keys } = this.#secure.setup;
    for (const [conn, who] of Object.entries(logins)) {
      const wire = await this.#enter(who);
      this.#wires.set(Number(conn), wire);
      this.#seen.set(Number(conn), wire.frames.length);
      this.#know(
        this.#said(Number(conn), ({ sessionId }) => sessionId),
        wire.sessionId,
      );
    }
    for (const [conn, who] of Object.entries(tokens)) {
      const token = typeof who === 'object' ? await this.#secure.httpToken(who) : tokenOf(await this.#wireWith(who));
      this.#know(
        this.#said(Number(conn), ({ data }) => (data as Fields | null)?.token),
        token,
      );
    }
    if (keys !== undefined)
      this.#know(
        this.#said(keys.wrongOn, ({ data }) => (data as Fields | null)?.publicKey),
        keys.publicKey,
      );
  }

  /** What the client of this connection said first, in the recording. */
  #said(conn: number, pick: (frame: Fields) => unknown): unknown {
    for (const line of linesOf(this.capture.name)) {
      const said = line.dir === 'c2s' && (line.conn ?? 1) === conn && line.event === undefined ? pick(line.frame as Fields) : undefined;
      if (said !== undefined) return said;
    }
    return undefined;
  }

  /** Pairs what stands in the recording with what stands for it here, as JSON texts have them; what was known stays. */
  #know(recorded: unknown, here: unknown): void {
    if (typeof recorded !== 'string' || typeof here !== 'string') return;
    const name = JSON.stringify(recorded).slice(1, -1);
    if (!this.#ids.has(name)) this.#ids.set(name, JSON.stringify(here).slice(1, -1));
  }

  async #wireWith(who: Who): Promise<HappnWire> {
    return typeof who === 'number' ? (this.#wires.get(who) as HappnWire) : await this.#enter(who);
  }

  async #enter(who: Who): Promise<HappnWire> {
    const secure = this.#secure as SecureServer;
    return await secure.enter(typeof who === 'string' ? { username: who } : { token: tokenOf(this.#wires.get(who) as HappnWire) });
  }

  async end(): Promise<void> {
    await this.#checkHeartbeats();
    for (const wire of [...this.#wires.values(), this.#node]) if (wire?.closed === null) await wire.close();
  }

  /** The same connections got heartbeats as in the recording; those that answered them live on. */
  async #checkHeartbeats(): Promise<void> {
    const { name } = this.capture;
    for (const [conn, wire] of this.#wires) {
      const count = (): number => wire.frames.filter((frame) => isPing(frame)).length;
      if (this.#recorded('s2c').has(conn)) await until(`heartbeats on connection ${conn} of ${name}`, () => count() > 0);
      else if (count() > 0) this.failures.push(`${name}, connection ${conn}: heartbeats that were not recorded`);
      if (this.#recorded('c2s').has(conn) && wire.closed !== null) this.failures.push(`${name}, connection ${conn} ended`);
    }
  }

  /** The connections with heartbeats (s2c), and those that answered them (c2s), in the recording. */
  #recorded(dir: Line['dir']): Set<number> {
    return new Set(linesOf(this.capture.name).flatMap((line) => (line.dir === dir && isHeartbeat(line) ? [line.conn ?? 1] : [])));
  }

  async play(exchange: Exchange): Promise<Verdict> {
    const pause = this.capture.secure?.pauses?.[exchange.title];
    if (pause === 'ended') await until('the end of the connection', () => this.#wires.get(1)?.closed !== null);
    else if (pause !== undefined) await setTimeout(pause);
    for (const line of exchange.sends) await this.#send(line);
    const { translate, translation = '', deviations } = this.capture;
    const deviation = deviations[exchange.number];
    const recorded = exchange.expects.map(({ conn, frame }) => ({ conn, frame: this.#mapped(frame) }));
    const changed = translate === undefined ? recorded : translate(recorded);
    const expected = deviation === undefined ? changed : deviation.expect(changed);
    if (deviation !== undefined && isDeepStrictEqual(expected, changed)) {
      this.failures.push(`${this.capture.name} exchange ${exchange.number} comes out as recorded: its deviation is not needed`);
    }
    await this.#compare(exchange, expected);
    if (deviation !== undefined) return { exchange, verdict: 'differs', why: deviation.why };
    if (!isDeepStrictEqual(changed, recorded)) return { exchange, verdict: 'differs', why: translation };
    return { exchange, verdict: 'passes', why: '' };
  }

  async #send(line: Line): Promise<void> {
    const conn = line.conn ?? 1;
    if (line.dir === 's2c') {
      await this.#secure?.administer(line.step ?? '');
      if (!STOPS.test(line.step ?? '')) return;
      this.#stopped = true;
      await this.gateway.stop(!DISMISSALS.test(line.step ?? ''));
      return;
    }
    if (line.event === 'upgrade') {
      const wire = await this.gateway.connect();
      this.#wires.set(conn, wire);
      if (this.#recorded('c2s').has(conn)) wire.socket.on('message', (text: Buffer) => answerPing(wire, text.toString()));
      return;
    }
    const wire = await this.#wireOf(conn, line.frame);
    if (line.event === 'close') {
      this.#seen.set(-conn, 1);
      if (wire.closed === null) await wire.close();
      return;
    }
    wire.send(line.unparsed === true ? (line.frame as string) : JSON.stringify(this.#signed(conn, wire, this.#mapped(line.frame))));
  }

  /** A digest is made of the nonce of this run. */
  #signed(conn: number, wire: HappnWire, frame: unknown): unknown {
    const { data } = frame as { data?: Fields | null };
    if (this.#secure === null || data?.digest === undefined) return frame;
    return { ...(frame as Fields), data: { ...data, digest: this.#secure.digest(conn, wire) } };
  }

  /** Captures that begin behind the handshake get one here. */
  async #wireOf(conn: number, frame: unknown): Promise<HappnWire> {
    const known = this.#wires.get(conn);
    if (known !== undefined) return known;
    const wire = await (await this.gateway.connect()).login(
      'happn_4',
      '13.12.1',
      CLUSTER_MEMBERS.has(`${this.capture.name}/${conn}`) ? { clusterName: 'c' } : {},
    );
    this.#wires.set(conn, wire);
    this.#seen.set(conn, wire.frames.length);
    const { sessionId } = frame as { sessionId?: string };
    if (sessionId !== undefined) this.#ids.set(sessionId, wire.sessionId as string);
    return wire;
  }

  /** A recorded frame with the ids of this run. */
  #mapped(frame: unknown): unknown {
    let text = JSON.stringify(frame);
    for (const [recorded, here] of this.#ids) text = text.replaceAll(recorded, here);
    return JSON.parse(text) as unknown;
  }

  async #compare(exchange: Exchange, expected: readonly Expected[]): Promise<void> {
    const conns = new Set([...this.#wires.keys(), ...expected.map(({ conn }) => conn)]);
    for (const conn of conns) {
      const wanted = expected.filter((line) => line.conn === conn).map(({ frame }) => frame);
      const wire = this.#wires.get(conn) as HappnWire;
      const got = await this.#received(conn, wire, wanted.length);
      this.#learn(wanted, got);
      const left = wanted.map((frame) =>
        JSON.stringify(sorted(placeholders(this.#mapped(frame)))).replaceAll('<session>', wire.sessionId ?? ''),
      );
      const right = got.map((frame) => JSON.stringify(sorted(placeholders(this.#secure === null ? frame : unsigned(frame)))));
      if (!isDeepStrictEqual(left.toSorted(), right.toSorted())) {
        const where = `${this.capture.name} exchange ${exchange.number} (${exchange.title}), connection ${conn}`;
        this.failures.push(`${where}\nexpected:\n  ${left.join('\n  ')}\ngot:\n  ${right.join('\n  ')}`);
      }
    }
  }

  /** What came since the last look: as many frames as are wanted, and whatever else came with them. */
  async #received(conn: number, wire: HappnWire, wanted: number): Promise<unknown[]> {
    const from = this.#seen.get(conn) ?? 0;
    const news = (): unknown[] => {
      const frames = wire.frames.slice(from).filter((frame) => !isBarrier(frame) && !isPing(frame));
      return wire.closed === null || this.#seen.get(-conn) === 1 ? frames : [...frames, '<closed>'];
    };
    try {
      await until(`${wanted} frames`, () => news().length >= wanted, 5_000);
    } catch {
      return news(); // The comparison says what is missing.
    }
    if (wire.closed === null && !this.#stopped) await this.#barrier(wire);
    const got = news();
    if (wire.closed !== null) this.#seen.set(-conn, 1);
    this.#seen.set(conn, wire.frames.length);
    return got;
  }

  /** What the gateway has to say about everything before has come when this is answered. */
  async #barrier(wire: HappnWire): Promise<void> {
    const eventId = `barrier-${this.#barriers++}`;
    // Where somebody has to log in only this is answered to everybody, and counts as no use of the session.
    wire.send(this.#secure === null ? { action: 'get', eventId, path: 'barrier' } : { action: 'describe', eventId });
    await until('the barrier', () => wire.closed !== null || wire.frames.some((frame) => isBarrier(frame, eventId)));
  }

  #noteSession(login: unknown): void {
    for (const wire of this.#wires.values()) {
      if (wire.frames.includes(login as never)) wire.sessionId = dataOf(login)?.id as string;
    }
  }

  /** Pairs the ids in recorded answers with the ones of this run. */
  #learn(wanted: readonly unknown[], got: readonly unknown[]): void {
    for (const frame of wanted) {
      const meta = metaOf(frame);
      if (meta?.type !== 'response') continue;
      const twin = got.find((other) => metaOf(other)?.type === 'response' && metaOf(other)?.eventId === meta.eventId);
      if (twin === undefined) continue;
      const pairs = [
        [dataOf(frame)?.id, dataOf(twin)?.id],
        [meta.referenceId, metaOf(twin)?.referenceId],
      ];
      if (meta.action === 'login') {
        this.#noteSession(twin);
        this.#know(dataOf(frame)?.token, dataOf(twin)?.token);
      }
      for (const [recorded, here] of pairs) {
        if (typeof recorded === 'string' && typeof here === 'string') this.#ids.set(recorded, here);
      }
    }
  }
}

/** Steps after which clients were to stay away. */
const DISMISSALS = /reconnect:false|stopping|shutdown|disconnectAllClients/;

/** Steps in which somebody stopped the server. */
const STOPS = /server stop|stopping|shutdown|disconnectAllClients/;

/** In capture 08 one of the clients calls itself a member of a cluster. */
const CLUSTER_MEMBERS: ReadonlySet<string> = new Set(['08-target-clients/3']);

function isPing(frame: unknown): boolean {
  return typeof frame === 'string' && frame.startsWith(PING);
}

function answerPing(wire: HappnWire, text: string): void {
  if (text.startsWith(`"${PING}`)) wire.send(text.replace(PING, PONG));
}

function isBarrier(frame: unknown, eventId?: string): boolean {
  const id = metaOf(frame)?.eventId;
  return typeof id === 'string' && (eventId === undefined ? id.startsWith('barrier-') : id === eventId);
}
