// The formats that need no library: json, raw (bytes of unknown meaning) and binary.

import type { Format } from './payload.js';

export declare const json: Format;
export declare const raw: Format;
export declare const binary: Format;
