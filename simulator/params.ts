import { z } from 'zod';
import { DAY_MS } from './calendar.ts';
import { checked, Refusal } from './refusal.ts';
import type { Settings } from './settings.ts';

/** A window in ms, both ends inclusive. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

/** The least plausible instant, in 1973-03: anything below is seconds, not milliseconds. */
const SMALLEST_MS = 1e11;
/** The last instant that a JavaScript date can represent. */
const LARGEST_MS = 8.64e15;

const instant = z
  .string()
  .regex(/^-?\d+$/)
  .transform(Number)
  .refine((ms) => ms <= 0 || (ms >= SMALLEST_MS && ms <= LARGEST_MS), 'must be milliseconds since epoch')
  .default(0);
const flag = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .default(false);
const count = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);

const counterQuery = z.object({
  start: instant,
  end: instant,
  asBytes: flag,
  includeNonBillable: flag,
  resolution: z.enum(['86400000', '3600000']).transform(Number).default(DAY_MS),
});

export interface CounterQuery {
  readonly window: Window;
  readonly asBytes: boolean;
  readonly includeNonBillable: boolean;
  readonly resolution: number;
}

/** Returns the query of a counter. Throws a refusal if a parameter or the range is not allowed. */
export function readCounterQuery(query: URLSearchParams, settings: Settings, nowMs: number): CounterQuery {
  const { start, end, ...rest } = checked(counterQuery, fieldsOf(query));
  const window = { startMs: absolute(start, nowMs), endMs: absolute(end, nowMs) };
  const refuse = (field: string, message: string) => {
    const validationErrors = [{ path: field, message }];
    throw new Refusal(400, 'Validation', `${field} ${message}`, { validationErrors });
  };
  if (window.endMs < window.startMs) refuse('end', 'must not be before start');
  const { maxRangeDays } = settings;
  if (maxRangeDays !== null && window.endMs - window.startMs > maxRangeDays * DAY_MS) {
    refuse('start', `must not be more than ${maxRangeDays} days before end`);
  }
  if (settings.retention === 'refuse' && window.startMs < oldestDay(settings, nowMs) * DAY_MS) {
    refuse('start', `must not be more than ${settings.detailDays} days ago`);
  }
  return { window, ...rest };
}

/** Returns the oldest day whose detail is kept. */
export function oldestDay({ detailDays }: Settings, nowMs: number): number {
  return Math.floor(nowMs / DAY_MS) - detailDays;
}

/**
 * Returns the instant that a parameter stands for. 0, a negative number or nothing means "relative to
 * now", as elsewhere in the API: a request without `start` gets a window that begins and ends now.
 */
function absolute(ms: number, nowMs: number): number {
  return ms > 0 ? ms : Math.max(0, nowMs + ms);
}

const listQuery = z.object({
  page: count.default(0),
  perPage: count.refine((size) => size > 0, 'must be at least 1').default(100),
  sortField: z.enum(['name', 'id', 'creationDate', 'lastUpdated']).default('name'),
  sortDirection: z.enum(['asc', 'desc', 'ASC', 'DESC']).default('asc'),
  filterField: z.literal('name').optional(),
  filter: z.string().optional(),
  query: z.string().optional(),
});

export type ListQuery = z.output<typeof listQuery>;

/** Returns the query of the organization list. Throws a refusal if a parameter is not allowed. */
export function readListQuery(query: URLSearchParams): ListQuery {
  return checked(listQuery, fieldsOf(query));
}

/** Returns the parameters that are not blank. A repeated one is an array to the API and thus never valid. */
function fieldsOf(query: URLSearchParams): Record<string, string | string[]> {
  const fields = [...new Set(query.keys())].map((key): [string, string | string[]] => {
    const values = query.getAll(key);
    return [key, values.length > 1 ? values : (values[0] ?? '')];
  });
  return Object.fromEntries(fields.filter(([, value]) => value !== ''));
}
