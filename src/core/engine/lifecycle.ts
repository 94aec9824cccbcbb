// Lifecycle: whether the engine works. One object, which all its parts ask and only starting, stopping and recovery change.

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
