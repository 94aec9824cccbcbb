// HappnClient: the happn client for web pages, with the methods, events and callback or promise forms that happn-3 gives to browsers.
// Speaks protocol 4 over a Connection. The gateway puts the text of this file behind that of connection.js, into a function.
// Every method takes an optional callback `(error, result)` as its last argument and returns a promise when there is none.

/** @typedef {(error: any, ...results: any[]) => void} Callback */
/** @typedef {(data: any, meta: any) => void} Handler */
/** @typedef {Record<string, any>} Options */

/**
 * @typedef {object} Subscriber
 * @property {number} id
 * @property {string} channel
 * @property {Handler} handler
 * @property {Options} options as they were given
 * @property {number} left events that it still wants
 * @property {string | undefined} reference under which the gateway knows it; undefined until it has said so: what comes before that
 *   is for others on the channel
 */

/** The numbers that happn gives to the states of a client. */
const STATUS = Object.freeze({
  UNINITIALIZED: 0,
  ACTIVE: 1,
  DISCONNECTED: 2,
  ERROR: 3,
  RECONNECTING: 4,
  CONNECTING: 5,
  CONNECT_ERROR: 8,
  RECONNECT_ACTIVE: 9,
});
const PROTOCOL = 'happn_4';
/** The release of happn-3 whose ways this client has. */
const LIKE_VERSION = '13.12.1';
const DENIED = new Set([401, 403]);
const DEFERRED = 1;
const ACKNOWLEDGED = 3;
const LONGEST_RETRY = 8;
const CALL_TIMEOUT_MS = 60_000;
/** Where this very text came from: the gateway to talk to when a page names none. */
const CAME_FROM = /** @type {HTMLScriptElement | null} */ (document.currentScript)?.src;

/**
 * The last argument is the callback when it is a function.
 * @param {any[]} args
 * @returns {[any[], Callback | undefined]}
 */
function splitCallback(args) {
  const given = args.slice();
  while (given.length > 0 && given.at(-1) === undefined) given.pop();
  return typeof given.at(-1) === 'function' ? [given.slice(0, -1), given.at(-1)] : [given, undefined];
}

/**
 * @param {Promise<any>} promise
 * @param {Callback | undefined} callback
 * @returns {any}
 */
function answer(promise, callback) {
  if (callback === undefined) return promise;
  promise.then(
    (result) => guarded(callback, [null, result]),
    (error) => guarded(callback, [error]),
  );
}

/** @param {any} given @returns {Error} */
function errorOf(given) {
  if (given === null || typeof given !== 'object') return new Error(String(given));
  const error = new Error(given.message ?? given.name);
  return Object.assign(error, given);
}

/** Each receiver may change what it gets. @param {any} data */
function copyOf(data) {
  return data === undefined ? undefined : JSON.parse(JSON.stringify(data));
}

/** @param {string} pattern with `*` for any characters @param {string} text */
function isMatch(pattern, text) {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(text);
}

/** @param {string} name */
function readCookie(name) {
  const found = document.cookie.split('; ').find((cookie) => cookie.startsWith(`${name}=`));
  return found === undefined ? '' : decodeURIComponent(found.slice(name.length + 1));
}

// biome-ignore lint/correctness/noUnusedVariables: the gateway makes it known to the page
class HappnClient {
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void, timer: ReturnType<typeof setTimeout> }>} */
  #waiting = new Map();
  /** @type {Map<string, { done: Callback, timer: ReturnType<typeof setTimeout> }>} */
  #publishing = new Map();
  /** @type {Map<number, Subscriber>} */
  #subscribers = new Map();
  /** @type {Map<string, Map<number, (data: any) => void>>} */
  #handlers = new Map();
  /** @type {((name: string, data: any) => boolean | void)[]} */
  #systemHandlers = [];
  #lastId = 0;
  #failures = 0;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {number} one of STATUS */
  status = STATUS.UNINITIALIZED;
  /** @type {any} what the gateway said to the login */
  session = null;
  /** @type {any} */
  serverInfo = null;
  /** @type {Options} */
  options = {};

  /** @param {Options} [options] */
  constructor(options) {
    this.client(options);
  }

  /** Connects and logs in. `create([options][, callback])` @param {...any} args */
  static create(...args) {
    const [[first, second], callback] = splitCallback(args);
    return answer(new HappnClient(second ?? first).initialize(), callback);
  }

  /** @param {Options} [given] */
  client(given = {}) {
    const { config, ...outer } = given ?? {};
    /** @type {Options} */
    const options = { ...outer, ...config };
    options.url ??= urlOf(options);
    options.info = typeof options.info === 'object' && options.info !== null ? { ...options.info } : { data: options.info };
    options.info._browser = true;
    options.callTimeout ??= CALL_TIMEOUT_MS;
    options.loginTimeout ??= options.callTimeout;
    options.loginRetry ??= 4;
    options.loginRetryInterval ??= 5_000;
    options.defaultVariableDepth ??= 5;
    this.options = options;
    return this;
  }

  /** Resolves with the client itself. @param {Callback} [callback] */
  initialize(callback) {
    return answer(
      this.connect().then(() => this),
      callback,
    );
  }

  /** @param {Callback} [callback] */
  connect(callback) {
    return answer(this.#connect(), callback);
  }

  // -------------------------------------------------------------- data

  /** `get(path[, options][, callback])` @param {string} path @param {...any} args */
  get(path, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#ask('get', path, null, options), callback);
  }

  /** @param {string} path @param {...any} args */
  count(path, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#ask('count', path, null, options), callback);
  }

  /** @param {string} path @param {...any} args */
  getPaths(path, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#ask('get', path, null, { ...options, path_only: true }), callback);
  }

  /** Records made between two times in milliseconds. @param {string} path @param {number} from @param {number} to @param {...any} args */
  getCreatedBetween(path, from, to, ...args) {
    const [, callback] = splitCallback(args);
    const criteria = { $and: [{ '_meta.created': { $gte: from } }, { '_meta.created': { $lte: to } }] };
    return answer(this.#ask('get', path, null, { criteria }), callback);
  }

  /** `set(path, data[, options][, callback])` @param {string} path @param {any} data @param {...any} args */
  set(path, data, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#set(path, data, options), callback);
  }

  /** An event that nobody stores. @param {string} path @param {any} data @param {...any} args */
  publish(path, data, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#set(path, data, { ...options, noStore: true, noDataResponse: true }), callback);
  }

  /** `increment(path[, gauge][, by][, options][, callback])` @param {string} path @param {...any} args */
  increment(path, ...args) {
    const [given, callback] = splitCallback(args);
    const options = typeof given.at(-1) === 'object' ? given.pop() : {};
    const by = given.length === 0 ? 1 : given.pop();
    const gauge = given.length === 0 ? 'counter' : given[0];
    const asked =
      typeof by !== 'number' || Number.isNaN(by)
        ? Promise.reject(new Error('increment must be a number'))
        : this.#set(path, gauge, { ...options, increment: by });
    return answer(asked, callback);
  }

  /** @param {string} path @param {...any} args */
  remove(path, ...args) {
    const [[options], callback] = splitCallback(args);
    return answer(this.#ask('remove', path, null, options), callback);
  }

  // -------------------------------------------------------------- subscriptions

  /**
   * `on(path[, options], handler[, callback])`: the result is what `off` takes; with `initialCallback` a callback gets the values, too.
   * With `options.onPublished` as the handler the only function is the callback.
   * @param {string} path @param {...any} args
   */
  on(path, ...args) {
    const functions = args.filter((arg) => typeof arg === 'function');
    /** @type {Options} */
    const options = { ...args.find((arg) => typeof arg === 'object' && arg !== null) };
    if (typeof options.onPublished === 'function') functions.unshift(options.onPublished);
    const [handler, callback] = functions;
    if (typeof handler !== 'function') return answer(Promise.reject(new Error('a handler must be given')), callback);
    const subscribed = this.#on(path, options, handler);
    if (callback === undefined) return subscribed.then(({ id }) => id);
    subscribed.then(
      ({ id, values }) => guarded(callback, options.initialCallback ? [null, id, values] : [null, id]),
      (error) => guarded(callback, [error]),
    );
  }

  /** Hears one event. @param {string} path @param {...any} args */
  once(path, ...args) {
    const [options, ...functions] = typeof args[0] === 'function' ? [{}, ...args] : args;
    return this.on(path, { ...options, count: 1 }, ...functions);
  }

  /** Hears everything. @param {Handler} handler @param {Callback} [callback] */
  onAll(handler, callback) {
    return this.on('*', {}, handler, callback);
  }

  /** @param {number} handle @param {Callback} [callback] */
  off(handle, callback) {
    const bad = typeof handle === 'number' ? null : `handle ${handle == null ? 'cannot be null' : 'must be a number'}`;
    return answer(bad === null ? this.#off(this.#subscribers.get(handle)) : Promise.reject(new Error(bad)), callback);
  }

  /** Ends what listens on paths that the text, with `*` for any characters, matches. @param {...any} args */
  offPath(...args) {
    const [[path = '*'], callback] = splitCallback(args);
    const ended = [...this.#subscribers.values()].filter(({ channel }) => isMatch(path, channel.slice(channel.indexOf('@') + 1)));
    return answer(
      Promise.all(ended.map((subscriber) => this.#off(subscriber))).then(() => undefined),
      callback,
    );
  }

  /** @param {Callback} [callback] */
  offAll(callback) {
    this.#subscribers.clear();
    return answer(
      this.#ask('off', '*', null, {}).then(() => undefined),
      callback,
    );
  }

  // -------------------------------------------------------------- the client's own events

  /**
   * connection-ended, reconnect-scheduled, reconnect, reconnect-timeout, reconnect-error, reconnect-successful, session-ended, error.
   * @param {string} name @param {(data: any) => void} handler
   */
  onEvent(name, handler) {
    if (!name) throw new Error('event name cannot be blank or null');
    if (typeof handler !== 'function') throw new Error('event handler must be a function');
    const id = this.#nextId();
    const handlers = this.#handlers.get(name) ?? new Map();
    this.#handlers.set(name, handlers.set(id, handler));
    return `${name}|${id}`;
  }

  /** @param {string} handle */
  offEvent(handle) {
    const end = handle.lastIndexOf('|');
    this.#handlers.get(handle.slice(0, end))?.delete(Number(handle.slice(end + 1)));
  }

  /** @param {string} name @param {any} [data] */
  emit(name, data) {
    for (const handler of [...(this.#handlers.get(name)?.values() ?? [])]) guarded(handler, [data]);
  }

  /** @param {(name: string, data: any) => boolean | void} handler */
  onSystemMessage(handler) {
    return this.#systemHandlers.push(handler) - 1;
  }

  /** @param {number} index */
  offSystemMessage(index) {
    this.#systemHandlers.splice(index, 1);
  }

  // -------------------------------------------------------------- who it is

  /** `changePassword({ oldPassword, newPassword }[, callback])` @param {Options} details @param {Callback} [callback] */
  changePassword(details, callback) {
    return answer(this.#askSystem('change-password', details), callback);
  }

  /** Ends every connection that came in with the token, this one too. @param {Callback} [callback] */
  revokeToken(callback) {
    return answer(this.#askSystem('revoke-token', null), callback);
  }

  // -------------------------------------------------------------- the end

  /** `disconnect([{ revokeToken, disconnectChildSessions, deleteCookie }][, callback])` @param {...any} args */
  disconnect(...args) {
    const [[options = {}], callback] = splitCallback(args);
    return answer(this.#disconnect(options ?? {}), callback);
  }

  logout() {
    return this.disconnect({ revokeToken: true });
  }

  /** @param {Options} options */
  async #disconnect({ revokeToken, revokeSession, disconnectChildSessions, deleteCookie }) {
    try {
      if (revokeToken || revokeSession) await this.revokeToken();
      if (disconnectChildSessions) await this.#askSystem('disconnect-child-sessions', null);
    } finally {
      if (deleteCookie) this.#writeCookie('', '; expires=Thu, 01 Jan 1970 00:00:00 GMT');
      this.status = STATUS.DISCONNECTED;
      this.#connection?.destroy();
      this.#connection = null;
      this.#loseAnswers(new Error('client is disconnected'));
      this.#subscribers.clear();
      this.#handlers.clear();
      this.#systemHandlers = [];
    }
  }

  // -------------------------------------------------------------- connection

  async #connect() {
    this.#connection?.destroy();
    this.status = STATUS.CONNECTING;
    const { url, socket, reconnect, connectTimeout } = this.options;
    const connection = new Connection(url, {
      manual: true,
      timeout: connectTimeout ?? socket?.timeout ?? 30_000,
      strategy: socket?.strategy ?? 'disconnect',
      reconnect: reconnect ?? socket?.reconnect,
    });
    this.#connection = connection;
    try {
      await new Promise((resolve, reject) => {
        connection.once('open', () => resolve(undefined));
        connection.once('error', reject);
        connection.once('timeout', () => reject(new Error('connection timed out')));
        connection.once('end', () => reject(new Error('connection ended')));
        connection.open();
      });
      this.#listenTo(connection);
      await this.#shakeHands();
    } catch (error) {
      connection.destroy();
      this.status = STATUS.CONNECT_ERROR;
      throw error;
    }
    this.status = STATUS.ACTIVE;
  }

  /** @param {Connection} connection */
  #listenTo(connection) {
    connection.on('data', (message) => this.#onMessage(message));
    connection.on('close', () => {
      this.status = STATUS.DISCONNECTED;
      this.#loseAnswers(new Error('the connection ended before the answer came'));
      this.emit('connection-ended', this.session?.id);
    });
    connection.on('reconnect scheduled', (plan) => {
      this.status = STATUS.RECONNECTING;
      this.emit('reconnect-scheduled', plan);
    });
    connection.on('reconnect timeout', (err, opts) => this.emit('reconnect-timeout', { err, opts }));
    connection.on('reconnected', (plan) => void this.#comeBack(connection, plan));
  }

  /** A new session with the subscriptions of the old one. @param {Connection} connection @param {any} plan */
  async #comeBack(connection, plan) {
    this.status = STATUS.RECONNECT_ACTIVE;
    this.emit('reconnect', plan);
    let reason = 'authentication-failed';
    try {
      await this.#shakeHands();
      this.status = STATUS.ACTIVE;
      reason = 'reattach-listeners-failed';
      await Promise.all([...this.#subscribers.values()].map((subscriber) => this.#resubscribe(subscriber)));
    } catch (error) {
      this.emit('reconnect-error', { reason, error });
      this.#failures = Math.min(this.#failures + 1, LONGEST_RETRY);
      connection.retry(this.#failures);
      return;
    }
    this.#failures = 0;
    this.emit('reconnect-successful', plan);
  }

  async #shakeHands() {
    const { username, password, token, authType, info, useCookie, publicKey } = this.options;
    this.session = null;
    await this.#askSystem('configure-session', { protocol: PROTOCOL, version: LIKE_VERSION, browser: true });
    this.serverInfo = await this.#askSystem('describe', null);
    /** @type {Options} */
    const login = { info, protocol: PROTOCOL, username, password, token, authType };
    if (this.serverInfo.secure && useCookie) login.token = readCookie(this.serverInfo.cookieName);
    if (this.serverInfo.secure && publicKey && !login.token && !password) {
      throw new Error('this client logs in with a password or a token, not with a key');
    }
    const session = await this.#login(login);
    delete session._meta;
    this.session = session;
    if (session.token && !useCookie) this.#writeCookie(session.token, '');
  }

  /** Tries again, unless it was refused. @param {Options} parameters */
  async #login(parameters) {
    const { loginRetry, loginRetryInterval, loginTimeout } = this.options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#askSystem('login', parameters, { timeout: loginTimeout });
      } catch (/** @type {any} */ error) {
        if (DENIED.has(error.code) || attempt >= loginRetry || this.#connection?.readyState !== OPEN) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, loginRetryInterval));
    }
  }

  /** @param {string} value @param {string} more */
  #writeCookie(value, more) {
    const { cookieName = 'happn_token', cookieDomain } = this.session ?? {};
    const domain = cookieDomain ? `; domain=${cookieDomain}` : '';
    // biome-ignore lint/suspicious/noDocumentCookie: older browsers have no other way
    document.cookie = `${cookieName}=${value}; path=/${domain}${this.options.url.startsWith('https') ? '; Secure' : ''}${more}`;
  }

  // -------------------------------------------------------------- requests

  #nextId() {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** @param {string} path @param {any} data @param {Options} [options] */
  #set(path, data, options) {
    return this.#ask('set', path, data, data === null ? { ...options, nullValue: true } : options);
  }

  /** @param {string} action @param {string} path @param {any} data @param {Options} [options] @returns {Promise<any>} */
  #ask(action, path, data, options) {
    if (this.status !== STATUS.ACTIVE) return Promise.reject(this.#inactive(action, path));
    const message = { action, path, data, sessionId: this.session?.id };
    if (options === undefined || options === null) return this.#send(message, this.options.callTimeout, ` path: ${path} action: ${action}`);
    const { onPublished, onPublishedTimeout, ...sent } = options;
    const told = (action === 'set' || action === 'remove') && (sent.consistency === DEFERRED || sent.consistency === ACKNOWLEDGED);
    if (told && typeof onPublished !== 'function') return Promise.reject(new Error('onPublished handler in options is missing'));
    const publication = `${this.session?.id}-${this.#lastId + 1}`;
    if (told) this.#awaitPublished(publication, onPublished, onPublishedTimeout ?? CALL_TIMEOUT_MS);
    const asked = this.#send({ ...message, options: sent }, sent.timeout ?? this.options.callTimeout, ` path: ${path} action: ${action}`);
    // What was refused is not published.
    if (told) asked.catch(() => this.#settlePublished(publication));
    return asked;
  }

  /** @param {string} action @param {any} data @param {Options} [options] */
  #askSystem(action, data, options = {}) {
    const message = { action, data, sessionId: this.session?.id, options };
    return this.#send(message, options.timeout ?? this.options.callTimeout, ` action: ${action}`);
  }

  /** @param {Options} message @param {number} timeoutMs @param {string} what @returns {Promise<any>} */
  #send(message, timeoutMs, what) {
    const eventId = this.#nextId();
    return new Promise((resolve, reject) => {
      const late = () => {
        this.#waiting.delete(eventId);
        reject(new Error(`api request timed out${what}`));
      };
      this.#waiting.set(eventId, { resolve, reject, timer: setTimeout(late, timeoutMs) });
      if (this.#connection?.write({ ...message, eventId })) return;
      this.#settle(eventId)?.reject(new Error('client is disconnected'));
    });
  }

  /** @param {number} eventId */
  #settle(eventId) {
    const waiting = this.#waiting.get(eventId);
    if (waiting !== undefined) clearTimeout(waiting.timer);
    this.#waiting.delete(eventId);
    return waiting;
  }

  /** @param {Error} error */
  #loseAnswers(error) {
    for (const eventId of [...this.#waiting.keys()]) this.#settle(eventId)?.reject(error);
    for (const id of [...this.#publishing.keys()]) this.#settlePublished(id)?.([error]);
  }

  /** @param {string} id @param {Callback} done @param {number} timeoutMs */
  #awaitPublished(id, done, timeoutMs) {
    const late = () => this.#settlePublished(id)?.([new Error('publish timed out')]);
    this.#publishing.set(id, { done, timer: setTimeout(late, timeoutMs) });
  }

  /** What tells the page, once. @param {string} id @returns {((args: any[]) => void) | undefined} */
  #settlePublished(id) {
    const publishing = this.#publishing.get(id);
    if (publishing === undefined) return undefined;
    clearTimeout(publishing.timer);
    this.#publishing.delete(id);
    return (args) => guarded(publishing.done, args);
  }

  /** @param {string} action @param {string} path */
  #inactive(action, path) {
    /** @type {Map<number, string>} */
    const texts = new Map([
      [STATUS.UNINITIALIZED, 'client not initialized yet'],
      [STATUS.DISCONNECTED, 'client is disconnected'],
      [STATUS.CONNECT_ERROR, 'client in an error state'],
    ]);
    const error = new Error(texts.get(this.status) ?? 'client not active');
    return Object.assign(error, { detail: `action: ${action}, path: ${path}` });
  }

  // -------------------------------------------------------------- subscribing

  /** @param {string} path @param {Options} given @param {Handler} handler */
  async #on(path, given, handler) {
    if (typeof path !== 'string') throw new Error(`Bad path [${path}], must be a string`);
    /** @type {Options} */
    const options = { event_type: 'all', count: 0, ...given };
    if (options.event_type === '*') options.event_type = 'all';
    if ((path === '**' || path.endsWith('/**')) && !options.depth) options.depth = this.options.defaultVariableDepth;
    const channel = `/${String(options.event_type).toUpperCase()}@${path}`;
    const left = options.count > 0 ? options.count : Number.POSITIVE_INFINITY;
    /** @type {Subscriber} */
    const subscriber = { id: this.#nextId(), channel, handler, options, left, reference: undefined };
    this.#subscribers.set(subscriber.id, subscriber);
    try {
      const { onPublished, ...sent } = options;
      const response = await this.#subscribe(subscriber, sent);
      if (options.initialEmit) for (const value of response) guarded(handler, [value, value._meta]);
      return { id: subscriber.id, values: response };
    } catch (error) {
      this.#subscribers.delete(subscriber.id);
      throw error;
    }
  }

  /** @param {Subscriber} subscriber @param {Options} options */
  async #subscribe(subscriber, options) {
    subscriber.reference = undefined;
    const response = await this.#ask('on', subscriber.channel, null, options);
    subscriber.reference = response?._meta?.referenceId ?? response?.id;
    // It was ended meanwhile, by its path or with all, when nobody could name it to the gateway.
    if (!this.#subscribers.has(subscriber.id)) await this.#sendOff(subscriber);
    return response;
  }

  /** @param {Subscriber} subscriber */
  async #resubscribe(subscriber) {
    const { initialEmit, initialCallback, onPublished, ...sent } = subscriber.options;
    try {
      await this.#subscribe(subscriber, sent);
    } catch (/** @type {any} */ error) {
      // The rights may have changed meanwhile: what is no longer allowed goes, what failed otherwise is tried again.
      if (!DENIED.has(error.code)) throw error;
      this.#subscribers.delete(subscriber.id);
    }
  }

  /** @param {Subscriber | undefined} subscriber */
  async #off(subscriber) {
    if (subscriber === undefined || !this.#subscribers.delete(subscriber.id)) return;
    if (subscriber.reference !== undefined) await this.#sendOff(subscriber);
  }

  /** Names the reference: without one the gateway would end the whole channel. @param {Subscriber} subscriber */
  #sendOff({ channel, reference }) {
    return this.#ask('off', channel, null, { referenceId: reference });
  }

  // -------------------------------------------------------------- what comes in

  /** @param {any} message */
  #onMessage(message) {
    if (Array.isArray(message)) {
      const meta = message.pop();
      Object.assign(message, { _meta: meta });
      this.#settle(meta?.eventId)?.resolve(message);
      return;
    }
    const meta = message?._meta;
    if (meta === undefined || meta === null) return;
    if (meta.type === 'data') void this.#onPublication(message, meta);
    else if (meta.type === 'system') this.#onSystem(message);
    else if (meta.type === 'ack') this.#onAck(message);
    else this.#onAnswer(message, meta);
  }

  /** @param {any} message @param {any} meta */
  #onAnswer(message, meta) {
    const waiting = this.#settle(meta.eventId);
    if (waiting === undefined) return;
    if (meta.status === 'error') waiting.reject(errorOf(meta.error));
    else if (message.data === null) waiting.resolve(null);
    else if (typeof message.data === 'object') waiting.resolve(Object.assign(message.data, { _meta: meta }));
    else waiting.resolve(message);
  }

  /** @param {any} message @param {any} meta */
  async #onPublication(message, meta) {
    if (meta.consistency === ACKNOWLEDGED) {
      try {
        await this.#ask('ack', message.path, meta.publicationId);
        meta.acknowledged = true;
      } catch (error) {
        Object.assign(meta, { acknowledged: false, acknowledgedError: error });
      }
    }
    for (const subscriber of [...this.#subscribers.values()]) {
      if (subscriber.channel !== meta.channel || subscriber.reference === undefined || subscriber.options.depth < meta.depth) continue;
      subscriber.left -= 1;
      if (subscriber.left === 0) this.#off(subscriber).catch((error) => this.emit('error', error));
      if (subscriber.left >= 0) guarded(subscriber.handler, [copyOf(message.data), meta]);
    }
  }

  /** @param {any} message */
  #onSystem({ eventKey, data }) {
    if (eventKey === 'server-side-disconnect') {
      this.status = STATUS.DISCONNECTED;
      this.emit('session-ended', data);
    }
    for (const handler of this.#systemHandlers.slice()) guarded(handler, [eventKey, data]);
  }

  /** @param {any} message */
  #onAck({ id, status, error, result }) {
    this.#settlePublished(id)?.(status === 'error' ? [new Error(error), result] : [null, result]);
  }
}

/** @param {Options} options */
function urlOf({ host, port, protocol }) {
  const from = CAME_FROM && URL.canParse(CAME_FROM) ? new URL(CAME_FROM) : null;
  if (host === undefined && port === undefined && protocol === undefined && from !== null) return from.origin;
  const scheme = protocol ?? 'http';
  const usual = (scheme === 'http' && Number(port) === 80) || (scheme === 'https' && Number(port) === 443);
  return `${scheme}://${!host || host === 'localhost' ? '127.0.0.1' : host}${usual ? '' : `:${port ?? 55_000}`}`;
}
