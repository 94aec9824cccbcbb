// UsageError: the command itself is wrong, and nothing was sent to a gateway.

/** Ends with exit code 2. */
export class UsageError extends Error {}
