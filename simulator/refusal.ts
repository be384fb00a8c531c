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

/** Returns the refusal of a request one of whose values does not fit. */
export function invalid(path: string, message: string): Refusal {
  return new Refusal(400, 'Validation', `${path}: ${message}`, { validationErrors: [{ path, message }] });
}

/** Returns the value if it fits; otherwise throws the refusal that names the first thing that does not. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw invalid(issue?.path.join('.') ?? '', issue?.message ?? 'is not allowed');
}

/** Returns the value of a JSON text; throws a refusal if it is none. */
export function parsedJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(name, 'must be JSON');
  }
}
