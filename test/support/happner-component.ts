// A component of a mesh that lives on the gateway: a program over the unmodified happn client. It describes itself in
// /mesh/schema, answers calls, and emits events, as the component of a mesh node does.

import { GENERATIONS, type HappnClient, type Heard, type Login } from './happn-clients.js';

export const DOMAIN = 'TestNode';

export type Method = (...args: readonly unknown[]) => unknown;

interface Call {
  readonly callbackAddress: string;
  readonly args: unknown[];
  readonly origin: { readonly id: string; readonly username?: string };
  readonly version?: string;
}

interface Reply {
  readonly status: 'ok' | 'error' | 'failed';
  readonly args: readonly unknown[];
}

interface ComponentOptions {
  readonly name?: string;
  readonly version?: string;
  readonly direct?: boolean;
  /** As whom it connects, where users have to log in. */
  readonly login?: Login;
}

/** Messages without a record behind them, as a mesh node sends them. */
const UNSTORED = { noStore: true, timeout: 10_000 };

export class HappnerComponent {
  readonly calls: Call[] = [];
  /** Who made each call, as the gateway says it. */
  readonly callers: unknown[] = [];

  private constructor(
    readonly client: HappnClient,
    readonly name: string,
    readonly version: string,
    readonly methods: Readonly<Record<string, Method>>,
    /** Responses go to nobody but the caller (`directResponses` of a mesh node's component). */
    readonly direct: boolean,
  ) {}

  static async start(
    port: number,
    methods: Readonly<Record<string, Method>>,
    { name = 'component', version = '1.2.3', direct = false, login }: ComponentOptions = {},
  ): Promise<HappnerComponent> {
    const newest = GENERATIONS.at(-1) as (typeof GENERATIONS)[number];
    const component = new HappnerComponent(await newest.connect(port, {}, undefined, login), name, version, methods, direct);
    await component.client.on(`/_exchange/requests/${DOMAIN}/${name}/*`, { event_type: 'set' }, (heard) => component.#onCall(heard));
    const config = { name: DOMAIN, version: '13.1.1', happn: { secure: login !== undefined, setOptions: UNSTORED }, datalayer: {} };
    await component.client.set('/mesh/schema/config', config);
    await component.describe();
    return component;
  }

  /** Writes what the mesh offers: this component, and others by name. */
  async describe(others: Readonly<Record<string, object>> = {}, initializing = false): Promise<void> {
    const components = { [this.name]: this.#description(), ...others };
    await this.client.set('/mesh/schema/description', { name: DOMAIN, initializing, components });
  }

  #description(): object {
    const methods = Object.fromEntries(
      Object.entries(this.methods).map(([name, method]) => [
        name,
        { isAsyncMethod: false, parameters: Array.from({ length: method.length }, (_, n) => ({ name: `p${n}` })) },
      ]),
    );
    return { name: this.name, version: this.version, methods, routes: {}, events: {}, data: {} };
  }

  async emit(key: string, data: object, version = this.version): Promise<void> {
    await this.client.set(`/_events/${DOMAIN}/${this.name}/${key}`, data, { noStore: true, meta: { componentVersion: version } });
  }

  #onCall({ data, meta }: Heard): void {
    const call = data as unknown as Call;
    this.calls.push(call);
    this.callers.push(meta['eventOrigin']);
    const reply = this.#perform(meta.path.slice(meta.path.lastIndexOf('/') + 1), call);
    const options = this.direct ? { ...UNSTORED, targetClients: [call.origin.id] } : UNSTORED;
    void this.client.set(call.callbackAddress, reply, options);
  }

  #perform(name: string, { args, version }: Call): Reply {
    const method = this.methods[name];
    if (method === undefined) return { status: 'failed', args: [{ name: 'Error', message: `Call to unconfigured method [${name}]` }] };
    if (version !== undefined && version !== '*' && !version.startsWith('^1')) {
      return { status: 'failed', args: [{ name: 'Error', message: `request version [${version}] does not match` }] };
    }
    try {
      return { status: 'ok', args: [null, method(...args)] };
    } catch (error) {
      const { name: kind, message, ...more } = error as Error;
      return { status: 'error', args: [{ ...more, name: kind, message }] };
    }
  }

  async stop(): Promise<void> {
    await this.client.disconnect();
  }
}
