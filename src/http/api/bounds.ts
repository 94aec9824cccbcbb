// Where the API for administrators is, and what it takes: known before the API itself is loaded.

export const API_PATH = '/api/v1';
export const BODY_MAX_BYTES = 64 * 1024;
