import type { z } from 'zod';

export type Body = Record<string, unknown>;

/** A request that the API refuses, with the answer it gets. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly body: Body;

  constructor(status: number, type: string, message: string, more: Body = {}) {
    super(message);
    this.status = status;
    this.body = { ...errorBody(type, message), ...more };
  }
}

/** Returns the error body of the API. */
export function errorBody(type: string, message: string): Body {
  return { type, message };
}

/** Returns the value if it fits; otherwise throws the refusal that names what does not. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const validationErrors = result.error.issues.map(({ path, message }) => ({
    path: path.map(String).join('.'),
    message,
  }));
  const first = validationErrors[0];
  throw new Refusal(400, 'Validation', `${first?.path}: ${first?.message}`, { validationErrors });
}

/** Returns the value of a JSON text; throws a refusal if it is none. */
export function parsedJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'Validation', `${name} must be JSON`);
  }
}
