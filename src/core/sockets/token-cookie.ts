// The name of the cookie in which browsers keep their token: happn tells its clients, and HTTP reads it.

/** `name`: as it is configured. Over TLS it has another one, as happn servers give it. */
export function tokenCookie(name: string, isEncrypted: boolean): string {
  return isEncrypted ? `${name}_https` : name;
}
