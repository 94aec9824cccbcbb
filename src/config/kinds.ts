// Kinds of settings: what a schema checks, and how errors and tables describe it.

import { z } from 'zod';
import { isPassword, PASSWORD_TEXT } from '../security/passwords.js';
import { isAddress } from './addresses.js';

/** How a value is written as text (in a flag or a variable), and what the error and the table say about it. */
export interface About {
  readonly kind: 'text' | 'number' | 'boolean' | 'list' | 'objects';
  readonly description: string;
  /** What is allowed, as it reads after "must be". */
  readonly allowed: string;
  readonly secret: boolean;
  /** All values; null: there are too many to list. */
  readonly choices: readonly string[] | null;
}

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const DAY_MS = 24 * 3_600_000;

export function port(value: number, description: string) {
  const type = z.number().int().min(0).max(65_535).default(value);
  return type.meta(about('number', description, 'a port number from 0 (any free port) to 65535'));
}

export function optionalPort(description: string) {
  const type = z.number().int().min(0).max(65_535).nullable().default(null);
  return type.meta(about('number', description, 'a port number from 0 (any free port) to 65535'));
}

export function whole(value: number, min: number, max: number, description: string) {
  const type = z.number().int().min(min).max(max).default(value);
  return type.meta(about('number', description, `a whole number from ${min} to ${max}`));
}

export function flag(value: boolean, description: string) {
  return z
    .boolean()
    .default(value)
    .meta(about('boolean', description, 'true or false'));
}

export function choice<const T extends readonly [string, ...string[]]>(value: T[number], values: T, description: string) {
  const type = z.enum(values as unknown as [T[number], ...T[number][]]).default(value as never);
  const text = about('text', description, `one of ${values.join(', ')}`);
  return type.meta({ about: { ...text.about, choices: values } });
}

export function optionalText(description: string, allowed: string, secret = false) {
  return z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .meta(about('text', description, allowed, secret));
}

export function newPassword(description: string) {
  const type = z.string().refine(isPassword).nullable().default(null);
  return type.meta(about('text', description, PASSWORD_TEXT, true));
}

export function secretText(description: string) {
  const type = z.string().min(32).max(1_024).nullable().default(null);
  return type.meta(about('text', description, 'a text of 32 to 1024 characters', true));
}

export function about(kind: About['kind'], description: string, allowed: string, secret = false): { about: About } {
  return { about: { kind, description, allowed, secret, choices: null } };
}

export function address(value: string, description: string) {
  const type = z.string().refine(isAddress).default(value);
  return type.meta(about('text', description, 'an IP address or a host name'));
}

export function pem(description: string) {
  const type = z
    .string()
    .refine((text) => text.includes('-----BEGIN '))
    .nullable()
    .default(null);
  return type.meta(about('text', description, 'a text in PEM form', true));
}
