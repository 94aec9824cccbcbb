// UsageError: the command itself is wrong, so that nothing was asked of a gateway.

/** Ends with exit code 2. */
export class UsageError extends Error {}
