// A genuine mesh node of happner-2 as a program of its own (happner-mesh.cjs), which calls and listens through the gateway.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from './gateway-process.js';
import type { Login } from './happn-clients.js';
import { DOMAIN } from './happner-component.js';

/** A mesh node, and what it said. */
export interface MeshNode {
  readonly events: object[];
  call(method: string, ...args: unknown[]): Promise<unknown>;
  disconnect(): Promise<void>;
}

interface FromNode {
  readonly ready?: true;
  readonly event?: object;
  readonly answer?: number;
  readonly result?: unknown;
  readonly error?: object;
}

/** With the gateway on this port as its endpoint. Rejects when it cannot start. */
export async function startMeshNode(port: number, component: string, login: Login = {}): Promise<MeshNode> {
  const program = fileURLToPath(new URL('./happner-mesh.cjs', import.meta.url));
  const child = fork(program, [String(port), DOMAIN, component, JSON.stringify(login)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  const said: FromNode[] = [];
  child.on('message', (message) => said.push(message as FromNode));
  await until('the mesh node has started', () => said.length > 0 || child.exitCode !== null);
  if (said[0]?.ready !== true) throw new Error('the mesh node did not start');
  let calls = 0;
  return {
    get events() {
      return said.flatMap(({ event }) => event ?? []);
    },
    call: async (method, ...args) => {
      const number = calls++;
      child.send({ call: number, method, args });
      await until('the node says how its call ended', () => said.some(({ answer }) => answer === number));
      const { result, error } = said.find(({ answer }) => answer === number) as FromNode;
      if (error !== undefined) throw Object.assign(new Error(), error);
      return result;
    },
    disconnect: async () => {
      child.disconnect();
      await exited;
    },
  };
}
