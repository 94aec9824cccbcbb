// Asks the API of a gateway, and holds every answer against what its own OpenAPI description says of it.

import { z } from 'zod';

type Json = Record<string, unknown>;

interface Described {
  readonly responses: Readonly<Record<string, { readonly content?: { readonly 'application/json': { readonly schema: Json } } }>>;
}

export interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  /** Empty for an answer without a body. */
  readonly body: Json;
}

export class AdminApi {
  token: string | null = null;
  /** Operations that were asked, as `get /api/v1/users`. */
  readonly asked = new Set<string>();

  private constructor(
    readonly url: string,
    readonly description: Description,
  ) {}

  static async of(port: number): Promise<AdminApi> {
    const url = `http://127.0.0.1:${port}`;
    const description = (await (await fetch(`${url}/api/v1/openapi.json`)).json()) as Description;
    return new AdminApi(url, description);
  }

  /** `path` without /api/v1. Rejects when the answer is not as described. */
  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = text === '' ? {} : (JSON.parse(text) as Json);
    this.#check(method.toLowerCase(), `/api/v1${path.split('?', 1)[0]}`, response.status, text === '' ? null : json);
    return { status: response.status, headers: response.headers, body: json };
  }

  #check(method: string, path: string, status: number, body: Json | null): void {
    const found = Object.entries(this.description.paths).find(
      ([template, methods]) => method in methods && new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    );
    if (found === undefined) {
      if (status !== 404 && status !== 405) throw new Error(`${method} ${path} answers ${status} and is not described`);
      return;
    }
    const [template, methods] = found;
    this.asked.add(`${method} ${template}`);
    const { responses } = methods[method] as Described;
    const answer = responses[status] ?? (status >= 400 ? responses['default'] : undefined);
    if (answer === undefined) throw new Error(`${method} ${path} answers ${status}, which is not described`);
    const schema = answer.content?.['application/json'].schema;
    if (schema === undefined) {
      if (body !== null) throw new Error(`${method} ${path} has a body that is not described`);
      return;
    }
    const result = z.fromJSONSchema(this.#resolved(schema)).safeParse(body);
    if (!result.success) throw new Error(`${method} ${path} answers not as described: ${result.error.message}\n${JSON.stringify(body)}`);
  }

  #resolved(schema: Json): Json {
    const { $ref } = schema;
    if ($ref === undefined) return schema;
    const named = this.description.components.schemas[String($ref).slice('#/components/schemas/'.length)];
    if (named === undefined) throw new Error(`the description refers to ${String($ref)}, which is not in it`);
    return named;
  }
}
