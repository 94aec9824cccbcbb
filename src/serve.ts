// serve: runs one gateway in this process: banner, signals, and uncaught errors.

import { banner } from './banner.js';
import type { LoadedConfig } from './config/index.js';
import { buildGateway, buildLog } from './container.js';
import type { Log, NodeInfo } from './core/index.js';
import type { Gateway } from './gateway.js';

/** The parts of the stop have their own deadlines; this one catches what they do not. */
const STOP_WITHIN_MS = 4_800;
/** A terminal and npm both hand on the same keystroke; a person needs longer to mean it twice. */
const SAME_SIGNAL_MS = 100;
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/** Resolves when the gateway runs; it ends the process itself after a signal. Rejects with StartError or ConfigError. */
export async function serve({ config }: LoadedConfig): Promise<void> {
  const { log, flush } = buildLog(config);
  const { gateway, counters } = await buildGateway(config, log, { tellPassword });
  const rejections = counters.counter('unhandled_rejections_total', 'Unhandled errors of asynchronous work');
  process.on('unhandledRejection', (reason) => {
    rejections.add();
    log.error({ err: reason }, 'an error of asynchronous work was not handled');
  });
  process.on('uncaughtException', (error) => {
    log.error({ err: error }, 'an uncaught error ends the process');
    flush();
    process.exit(1);
  });
  stopOnSignals(gateway, log, flush);
  try {
    await gateway.start();
  } catch (error) {
    flush();
    throw error;
  }
  log.info({ ports: Object.fromEntries([...gateway.listeners].map(([name, { port }]) => [name, port])) }, 'ready');
  if (config.log.format !== 'json' && gateway.state === 'running') {
    process.stdout.write(banner(config, gateway.node as NodeInfo, gateway.listeners));
  }
}

/** The only place where it is ever shown. */
function tellPassword(password: string): void {
  process.stdout.write(`\nThe password of _ADMIN is ${password}\nIt is shown only this once: keep it, or log in and change it.\n`);
}

/** The first signal stops properly with exit code 0; a second one ends the process at once. */
function stopOnSignals(gateway: Gateway, log: Log, flush: () => void): void {
  let firstAt: number | null = null;
  const end = (code: number): never => {
    flush();
    process.exit(code);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt !== null) {
      if (performance.now() - firstAt > SAME_SIGNAL_MS) end(128 + (SIGNAL_NUMBERS[signal] as number));
      return;
    }
    firstAt = performance.now();
    log.info({ signal }, 'stopping');
    setTimeout(() => {
      log.error({}, 'the gateway did not stop in time');
      end(1);
    }, STOP_WITHIN_MS).unref();
    gateway.stop().then(
      () => {
        log.info({}, 'stopped');
        end(0);
      },
      (error: unknown) => {
        log.error({ err: error }, 'the gateway could not stop properly');
        end(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // The terminal was closed.
  process.on('SIGHUP', onSignal);
}
