export { PlainAdapter, type PlainConfig } from './adapter.js';
