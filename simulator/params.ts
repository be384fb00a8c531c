import { DAY_MS } from './calendar.ts';
import type { Config } from './world.ts';

/** A request that the API refuses with 400. */
export interface Refusal {
  readonly refusal: string;
  /** The offending parameter. */
  readonly field: string;
}

/** A window in ms, both ends inclusive. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

export function isRefusal<T extends object>(value: T | Refusal): value is Refusal {
  return 'refusal' in value;
}

/** The least plausible instant, in 1973-03: anything below is seconds, not milliseconds. */
const SMALLEST_MS = 1e11;
/** The last instant that a JavaScript date can represent. */
const LARGEST_MS = 8.64e15;

/**
 * Returns the window asked for. 0, a negative number or nothing means "relative to now", as elsewhere
 * in the API: a request that forgets `start` gets a window that begins and ends now.
 */
export function parseWindow(query: URLSearchParams, config: Config, nowMs: number): Window | Refusal {
  const start = parseInstant(query, 'start', nowMs);
  if (isRefusal(start)) return start;
  const end = parseInstant(query, 'end', nowMs);
  if (isRefusal(end)) return end;
  if (end.ms < start.ms) return { field: 'end', refusal: 'end must not be before start' };
  if (config.maxRangeDays !== null && end.ms - start.ms > config.maxRangeDays * DAY_MS) {
    return { field: 'start', refusal: `the range must not be longer than ${config.maxRangeDays} days` };
  }
  return { startMs: start.ms, endMs: end.ms };
}

/** Returns milliseconds since epoch; 0, a negative number or nothing is relative to now. */
export function parseInstant(query: URLSearchParams, field: string, nowMs: number): { ms: number } | Refusal {
  const text = single(query, field) ?? '0';
  if (!/^-?\d+$/.test(text)) return { field, refusal: `${field} must be milliseconds since epoch` };
  const ms = Number(text);
  if (ms <= 0) return { ms: Math.max(0, nowMs + ms) };
  if (ms < SMALLEST_MS || ms > LARGEST_MS) {
    return { field, refusal: `${field} must be milliseconds since epoch` };
  }
  return { ms };
}

/** Returns whether a flag is `true`; false when not given. */
export function parseFlag(query: URLSearchParams, field: string): { on: boolean } | Refusal {
  const text = single(query, field) ?? 'false';
  if (text !== 'true' && text !== 'false') return { field, refusal: `${field} must be true or false` };
  return { on: text === 'true' };
}

/** Returns one of the choices; the first when not given or blank. */
export function parseChoice<C extends string>(
  query: URLSearchParams,
  field: string,
  choices: readonly [C, ...C[]],
): { choice: C } | Refusal {
  const text = single(query, field);
  if (text === null || text === '') return { choice: choices[0] };
  const choice = choices.find((one) => one === text);
  if (choice === undefined) return { field, refusal: `${field} must be one of: ${choices.join(', ')}` };
  return { choice };
}

/** Returns a whole number of at least `min`. */
function parseCount(
  query: URLSearchParams,
  field: string,
  { min, fallback }: { min: number; fallback: number },
): { count: number } | Refusal {
  const text = single(query, field);
  if (text === null) return { count: fallback };
  const count = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (count < min) return { field, refusal: `${field} must be a whole number of at least ${min}` };
  return { count };
}

const DIRECTIONS = ['asc', 'desc', 'ASC', 'DESC'] as const;

/** The page of a list and its sorting. */
interface Paging<Field extends string> {
  /** The page, from 0. */
  readonly page: number;
  /** The size asked for, which may exceed the largest page. */
  readonly perPage: number;
  readonly sortField: Field;
  /** The direction as given. */
  readonly sortDirection: (typeof DIRECTIONS)[number];
  readonly isDescending: boolean;
}

export function parsePaging<F extends string>(
  query: URLSearchParams,
  sortFields: readonly [F, ...F[]],
): Paging<F> | Refusal {
  const page = parseCount(query, 'page', { min: 0, fallback: 0 });
  if (isRefusal(page)) return page;
  const perPage = parseCount(query, 'perPage', { min: 1, fallback: 100 });
  if (isRefusal(perPage)) return perPage;
  const sortField = parseChoice(query, 'sortField', sortFields);
  if (isRefusal(sortField)) return sortField;
  const direction = parseChoice(query, 'sortDirection', DIRECTIONS);
  if (isRefusal(direction)) return direction;
  return {
    page: page.count,
    perPage: perPage.count,
    sortField: sortField.choice,
    sortDirection: direction.choice,
    isDescending: direction.choice.toLowerCase() === 'desc',
  };
}

/** Returns the value given, or null. A repeated parameter is an array to the API and thus never valid. */
function single(query: URLSearchParams, field: string): string | null {
  const values = query.getAll(field);
  return values.length > 1 ? values.join(',') : (values[0] ?? null);
}
