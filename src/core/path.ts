// Path: the rules every concrete address obeys, for all protocols, and the reserved areas.

/** Throws RequestError INVALID_PATH unless `text` can be an address; returns it unchanged. */
export declare function checkPath(text: unknown): string;
/** The reserved area a path lies in (`/_SYSTEM`, `/_HAVEN`, or a first segment beginning with `$`), canonical; else null. */
export declare function reservedArea(path: string): string | null;
