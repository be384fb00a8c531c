import type { z } from 'zod';

export type Body = Record<string, unknown>;

/** Thrown for a request that the API rejects, with the response. */
export class Rejection extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly body: Body;

  constructor(status: number, type: string, message: string, more: Body = {}) {
    super(message);
    this.status = status;
    this.body = { ...createErrorBody(type, message), ...more };
  }
}

export function createErrorBody(type: string, message: string): Body {
  return { type, message };
}

/** Creates the rejection of a request with an invalid value. */
export function createValidationError(path: string, message: string): Rejection {
  return new Rejection(400, 'Validation', `${path}: ${message}`, { validationErrors: [{ path, message }] });
}

/** Returns the parsed value. Throws a rejection for the first problem. */
export function checkValue<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw createValidationError(issue?.path.join('.') ?? '', issue?.message ?? 'is not allowed');
}

/** Parses JSON. Throws a rejection if the text is not valid. */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw createValidationError('the body', 'must be JSON');
  }
}
