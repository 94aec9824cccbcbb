// The message bus of aedes: routes nothing. Every publication goes through the core's router, for all protocols alike; what
// aedes publishes itself (births, heartbeats, client lists under $SYS) concerns clusters of aedes brokers only and ends here.

/** Called back at once: aedes waits for its bus before it reads on. */
export const BUS = Object.freeze({
  on(_topic: string, _listener: unknown, done?: () => void): void {
    done?.();
  },
  removeListener(_topic: string, _listener: unknown, done?: () => void): void {
    done?.();
  },
  emit(_packet: unknown, done?: () => void): void {
    done?.();
  },
  close(done?: () => void): void {
    done?.();
  },
});
