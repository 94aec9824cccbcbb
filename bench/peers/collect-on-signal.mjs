// Loaded ahead of a server (with --expose-gc) for memory measurements: SIGUSR2 collects all garbage.

process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
});
