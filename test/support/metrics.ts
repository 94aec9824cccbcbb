// What the admin listener of a running gateway tells.

import type { GatewayProcess } from './gateway-process.js';

/** The figure behind `name`, labels included, without the prefix; 0 when it was never counted. */
export async function metric(gateway: GatewayProcess, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`);
  const line = (await response.text()).split('\n').find((one) => one.startsWith(`trivium_${name} `));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
}

/** Memory of the process in bytes, as the system counts it. */
export async function residentBytes(gateway: GatewayProcess): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`);
  const match = /^process_resident_memory_bytes (\S+)$/m.exec(await response.text());
  return Number(match?.[1]);
}

/** Processor time of the process in milliseconds, which other processes add little to. */
export async function processorMs(gateway: GatewayProcess): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`);
  const match = /^process_cpu_seconds_total (\S+)$/m.exec(await response.text());
  return Number(match?.[1]) * 1_000;
}

/** How often a line of the log holds `text`. */
export function logged(gateway: GatewayProcess, text: string): number {
  return gateway.stderr.split('\n').filter((line) => line.includes(text)).length;
}
