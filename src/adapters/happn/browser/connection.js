// Connection: a websocket to a gateway that keeps itself alive and comes back by itself. It has as much of the interface of the
// library behind /browser_primus.js as the happn clients of all generations use, so it serves them and the client beside this file.
// Runs in browsers. The gateway puts the text of this file into a function, so nothing here becomes global.

/** @typedef {(...args: any[]) => void} Listener */

/**
 * @typedef {object} ConnectionOptions
 * @property {boolean} [manual] wait for `open()`
 * @property {{ min?: number, max?: number, retries?: number }} [reconnect] milliseconds between attempts, and how many
 * @property {number} [timeout] milliseconds that one attempt may take
 * @property {string | string[]} [strategy] when to come back: after `disconnect`, after a first attempt that failed (`online`) or was
 *   too slow (`timeout`)
 */

const OPENING = 1;
const CLOSED = 2;
const OPEN = 3;

/** A connection that is silent for this long is asked for a sign of life, and given up when it gives none for as long again. */
const QUIET_MS = 15_000;
/** @type {readonly Listener[]} */
const NOBODY = Object.freeze([]);

/**
 * What a listener throws is the page's affair: it is reported there, and ends nothing here.
 * @param {Listener} listener
 * @param {any[]} args
 */
function guarded(listener, args) {
  try {
    listener(...args);
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

/**
 * Events: open, data (a parsed message), error, timeout, close, end (it will not come back), destroy, and around coming back:
 * reconnect scheduled, reconnect, reconnect timeout, reconnected, reconnect failed.
 */
// biome-ignore lint/correctness/noUnusedVariables: client.js uses it, and the gateway makes it known to pages
class Connection {
  /** @type {Map<string, readonly Listener[]>} */
  #listeners = new Map();
  /** @type {WebSocket | null} */
  #socket = null;
  /** Why an attempt or a connection is awaited: 0 none, else the number of the attempt. */
  #attempt = 0;
  /** No coming back: somebody ended it, here or there. */
  #ended = false;
  #asked = false;
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #beat;

  /**
   * @param {string} url of the gateway: http, https, ws or wss
   * @param {ConnectionOptions} [options]
   */
  constructor(url, options = {}) {
    this.url = `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/primus`;
    this.options = options;
    this.readyState = CLOSED;
    const { min = 500, max = 180_000, retries = Number.POSITIVE_INFINITY } = options.reconnect ?? {};
    this.reconnect = { min, max, retries };
    this.strategy = String(options.strategy ?? 'disconnect,online,timeout');
    window.addEventListener('online', this.#onOnline);
    if (!options.manual) setTimeout(() => this.open());
  }

  /**
   * @param {string} url
   * @param {ConnectionOptions} [options]
   */
  static connect(url, options) {
    return new Connection(url, options);
  }

  /** @param {string} name @param {Listener} listener */
  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? NOBODY), listener]);
    return this;
  }

  /** @param {string} name @param {Listener} listener */
  once(name, listener) {
    /** @type {Listener & { listener?: Listener }} */
    const first = (...args) => {
      this.removeListener(name, first);
      listener(...args);
    };
    first.listener = listener;
    return this.on(name, first);
  }

  /** @param {string} name @param {Listener} listener */
  removeListener(name, listener) {
    const kept = (this.#listeners.get(name) ?? NOBODY).filter(
      (/** @type {Listener & { listener?: Listener }} */ one) => one !== listener && one.listener !== listener,
    );
    this.#listeners.set(name, kept);
    return this;
  }

  /** @param {string} [name] */
  removeAllListeners(name) {
    if (name === undefined) this.#listeners.clear();
    else this.#listeners.delete(name);
    return this;
  }

  /** @param {string} name @param {...any} args */
  emit(name, ...args) {
    const listeners = this.#listeners.get(name) ?? NOBODY;
    for (const listener of listeners) guarded(listener, args);
    return listeners.length > 0;
  }

  open() {
    if (this.readyState !== CLOSED || this.#timer !== undefined) return this;
    this.#ended = false;
    this.#attempt = 0;
    this.#dial();
    return this;
  }

  /** False when it is not open: nothing is kept for later. @param {unknown} value */
  write(value) {
    if (this.readyState !== OPEN || this.#socket === null) return false;
    this.#socket.send(JSON.stringify(value));
    return true;
  }

  /** Closes what is open and does not come back. */
  end() {
    const waited = this.#timer !== undefined;
    this.#ended = true;
    if (this.readyState !== CLOSED) this.#drop();
    else if (waited) this.#finish();
    return this;
  }

  /** Closes what is open and comes back, later the more failures there were. @param {number} failures */
  retry(failures) {
    if (this.readyState === CLOSED) return;
    this.#attempt = failures;
    this.#drop();
  }

  destroy() {
    this.end();
    window.removeEventListener('online', this.#onOnline);
    this.emit('destroy');
    this.removeAllListeners();
    return this;
  }

  #dial() {
    this.readyState = OPENING;
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new WebSocket(`${this.url}?_primuscb=${Date.now()}`);
    } catch (error) {
      // An address that no websocket can have, or a page that may not open one.
      this.#timer = setTimeout(() => this.#failed(error));
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#tooSlow(), this.options.timeout ?? 10_000);
    // What a socket says after it was dropped is no longer heard.
    socket.onopen = () => this.#socket === socket && this.#opened();
    socket.onmessage = ({ data }) => this.#socket === socket && this.#heard(data);
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      if (this.readyState === OPEN) this.#drop();
      else this.#failed(new Error(`cannot connect to ${this.url}`));
    };
  }

  #opened() {
    const attempt = this.#attempt;
    this.#clear();
    this.#attempt = 0;
    this.readyState = OPEN;
    this.#heardAt = Date.now();
    this.#asked = false;
    this.#beat = setInterval(() => this.#checkAlive(), QUIET_MS);
    if (attempt > 0) this.emit('reconnected', { attempt });
    this.emit('open');
  }

  /** @param {unknown} text */
  #heard(text) {
    this.#heardAt = Date.now();
    this.#asked = false;
    let value;
    try {
      value = JSON.parse(String(text));
    } catch {
      return; // Not from a gateway; the connection may still be good.
    }
    if (typeof value !== 'string') this.emit('data', value);
    else if (value.startsWith('primus::ping::')) this.write(value.replace('ping', 'pong'));
    else if (value === 'primus::server::close') this.end();
  }

  /** Timers of a page in the background come late, so silence alone proves nothing: an unanswered question does. */
  #checkAlive() {
    const now = Date.now();
    if (now - this.#heardAt < QUIET_MS) return;
    if (this.#asked) {
      this.#drop();
      return;
    }
    this.#asked = true;
    this.write(`primus::ping::${now}`);
  }

  #tooSlow() {
    const error = new Error(`connecting to ${this.url} took too long`);
    if (this.#attempt > 0) this.emit('reconnect timeout', error, { attempt: this.#attempt });
    else this.emit('timeout');
    this.#failed(error, 'timeout');
  }

  /** One attempt came to nothing. @param {unknown} error @param {string} [why] */
  #failed(error, why = 'online') {
    this.#detach();
    const first = this.#attempt === 0;
    if (first && why !== 'timeout') this.emit('error', error);
    if (this.#ended) return;
    if (first && !this.strategy.includes(why)) this.#finish();
    else this.#schedule();
  }

  /** The connection is gone, or given up. */
  #drop() {
    const wasOpen = this.readyState === OPEN;
    this.#detach();
    if (wasOpen) this.emit('close');
    if (this.#ended || !this.strategy.includes('disconnect')) this.#finish();
    else this.#schedule();
  }

  #detach() {
    this.#clear();
    const socket = this.#socket;
    this.#socket = null;
    this.readyState = CLOSED;
    socket?.close();
  }

  #schedule() {
    // A listener may have ended it, or opened it again.
    if (this.#ended || this.readyState !== CLOSED || this.#timer !== undefined) return;
    const { min, max, retries } = this.reconnect;
    if (this.#attempt >= retries) {
      this.emit('reconnect failed', new Error(`gave up connecting to ${this.url}`), { attempt: this.#attempt });
      this.#finish();
      return;
    }
    this.#attempt += 1;
    // Spread, so that the clients of a gateway that was restarted do not all come at once.
    const spread = 1 + Math.random();
    const scheduled = Math.min(max, Math.round(min * 2 ** (this.#attempt - 1) * spread));
    this.#timer = setTimeout(() => this.#again(), scheduled);
    this.emit('reconnect scheduled', { attempt: this.#attempt, scheduled, min, max, retries });
  }

  #again() {
    this.#clear();
    this.emit('reconnect', { attempt: this.#attempt });
    if (!this.#ended && this.readyState === CLOSED) this.#dial();
  }

  #onOnline = () => {
    if (this.readyState === CLOSED && this.#timer !== undefined) this.#again();
  };

  #finish() {
    this.#clear();
    this.#ended = true;
    this.emit('end');
  }

  #clear() {
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    this.#timer = undefined;
    this.#beat = undefined;
  }
}
