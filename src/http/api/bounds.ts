// The place and limits of the admin API, known before the API itself is loaded.

export const API_PATH = '/api/v1';
export const BODY_MAX_BYTES = 64 * 1024;
