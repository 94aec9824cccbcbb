// Replays a recorded happn exchange against a gateway: sends what the client sent, and compares what comes back with what was
// recorded, with placeholders for what differs from run to run. What differs on purpose is said in happn-deviations.ts.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { until } from '../support/gateway-process.js';
import { type HappnGateway, type HappnWire, startHappn } from '../support/happn-wire.js';
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
  const lines = linesOf(name).filter((line) => !isHeartbeat(line));
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
  // The time-out is the one of the recordings.
  const gateway = await startHappn({ ackTimeoutMs: 700, ...capture.config }, capture.node);
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

  constructor(
    private readonly gateway: HappnGateway,
    private readonly capture: Capture,
  ) {}

  async prepare(): Promise<void> {
    const { records, mesh } = this.capture;
    if (mesh !== undefined) {
      this.#node = await playMeshNode(this.gateway, mesh);
      this.#ids.set(mesh.session, this.#node.sessionId as string);
    }
    if (records.length === 0) return;
    const wire = await (await this.gateway.connect()).login();
    for (const [path, data] of records) await wire.request('set', { path, data });
    await wire.close();
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
    wire.send(line.unparsed === true ? (line.frame as string) : JSON.stringify(this.#mapped(line.frame)));
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
      const right = got.map((frame) => JSON.stringify(sorted(placeholders(frame))));
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
    wire.send({ action: 'get', eventId, path: 'barrier' });
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
      if (meta.action === 'login') this.#noteSession(twin);
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

type Fields = Record<string, unknown>;

export function metaOf(frame: unknown): Fields | undefined {
  const holder = Array.isArray(frame) ? { _meta: frame.at(-1) } : frame;
  return typeof holder === 'object' && holder !== null ? ((holder as Fields)._meta as Fields | undefined) : undefined;
}

function dataOf(frame: unknown): Fields | undefined {
  const data = Array.isArray(frame) ? undefined : (frame as Fields | null)?.data;
  return typeof data === 'object' && data !== null ? (data as Fields) : undefined;
}

const TIME_FROM = 1_400_000_000_000;

/** What differs from run to run, and the four differences that are the same everywhere (see happn-coverage.md). */
function placeholders(frame: unknown): unknown {
  if (typeof frame === 'string') return frame.replace(/^primus::id::.+$/, 'primus::id::<id>');
  const copy = times(structuredClone(frame));
  const meta = metaOf(copy);
  if (meta === undefined || Array.isArray(copy)) return copy;
  const fields = copy as Fields;
  delete fields.initialValues;
  if (meta.type !== 'response') return fields;
  if (meta.error !== undefined) meta.error = plainError(meta.error as Fields);
  else if (meta.action === 'on') maskReference(fields, meta);
  else if (meta.action === 'off') fields.data = '<released>';
  else if (meta.action === 'login') maskSession(dataOf(fields));
  else if (meta.action === 'request-nonce') Object.assign(fields, { nonce: '<nonce>', data: '<nonce>' });
  return fields;
}

function times(value: unknown): unknown {
  if (typeof value === 'number') return value > TIME_FROM ? '<time>' : value;
  if (typeof value === 'string') return value.replace(/\/([0-9a-f]{32}|\[unique generated id\])$/, '/<id>');
  if (typeof value !== 'object' || value === null) return value;
  for (const [key, inner] of Object.entries(value)) (value as Fields)[key] = times(inner);
  return value;
}

function maskReference(fields: Fields, meta: Fields): void {
  if (meta.referenceId !== undefined) meta.referenceId = '<reference>';
  else fields.data = { id: typeof dataOf(fields)?.id };
}

function maskSession(session: Fields | undefined): void {
  if (session === undefined) return;
  for (const key of ['msgCount', 'headers', 'address', 'url']) session[key] = typeof session[key];
}

function plainError(error: Fields): unknown {
  return error.code === 501 ? '<unsupported>' : { name: error.name, message: error.message };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, sorted(inner)] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}
