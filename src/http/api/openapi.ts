// The OpenAPI 3.1 description of the API, generated from the operations and their schemas.

import { z } from 'zod';
import type { Operation } from './operation.js';
import { failure, NAMED } from './schemas.js';

type Json = Record<string, unknown>;

export function describeApi(base: string, version: string, operations: readonly Operation[]): object {
  const paths: Record<string, Json> = {};
  for (const one of operations) {
    const path = base + one.path;
    paths[path] ??= {};
    (paths[path] as Json)[one.method] = operationObject(one);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Trivium administration', version, description: 'Users, groups, permissions, tokens and sessions of one gateway.' },
    paths,
    components: {
      schemas: Object.fromEntries([...NAMED].map(([type, name]) => [name, schemaObject(type)])),
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
    security: [{ token: [] }],
  };
}

function operationObject({ id, tag, summary, access, path, query, body, answers }: Operation): Json {
  const responses = Object.entries(answers).map(([status, { description, schema }]) => [status, responseObject(description, schema)]);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(access === 'anybody' ? { security: [] } : {}),
    parameters: [...pathParameters(path), ...queryParameters(query)],
    ...(body === null ? {} : { requestBody: { required: true, content: contentOf(body) } }),
    responses: { ...Object.fromEntries(responses), default: responseObject('What went wrong.', failure) },
  };
}

function responseObject(description: string, schema: z.ZodType | null): Json {
  return { description, ...(schema === null ? {} : { content: contentOf(schema) }) };
}

function contentOf(schema: z.ZodType): Json {
  const name = NAMED.get(schema);
  return { 'application/json': { schema: name === undefined ? schemaObject(schema) : { $ref: `#/components/schemas/${name}` } } };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
}

function queryParameters(query: z.ZodObject | null): Json[] {
  return Object.entries(query?.shape ?? {}).map(([name, type]) => {
    const { description, ...schema } = schemaObject(type as z.ZodType);
    return { name, in: 'query', required: false, ...(description === undefined ? {} : { description }), schema };
  });
}

function schemaObject(type: z.ZodType): Json {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(type, { io: 'output', unrepresentable: 'any' });
  return schema;
}
