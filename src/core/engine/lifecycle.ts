// Lifecycle: whether the engine is running. One object, read by all parts and changed only by start, stop and recovery.

export class Lifecycle {
  /** `recovering`: a batch was refused, and the store is being reopened; what stores is refused meanwhile, the rest goes on. The store may be read before it is closed. */
  phase: 'new' | 'running' | 'recovering' | 'stopped' = 'new';

  get isRunning(): boolean {
    return this.phase === 'running';
  }

  get isStopped(): boolean {
    return this.phase === 'stopped';
  }
}
