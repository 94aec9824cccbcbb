// Which cookie a browser keeps its token in: happn tells its clients, and HTTP looks for it.

/** `name`: as it is configured. Over TLS it has another one, as happn servers give it. */
export function tokenCookie(name: string, isEncrypted: boolean): string {
  return isEncrypted ? `${name}_https` : name;
}
