import { z } from 'zod';
import { DAY_MS, dayOf, type Window } from './calendar.ts';
import { checkValue, createValidationError } from './rejection.ts';
import type { Settings } from './settings.ts';

/** An instant in 1973-03: anything below is in seconds. */
const SMALLEST_MS = 1e11;
/** The last instant of a JavaScript Date. */
const LARGEST_MS = 8.64e15;

const isInstant = (ms: number) => ms <= 0 || (ms >= SMALLEST_MS && ms <= LARGEST_MS);
const integer = z.stringFormat('integer', /^-?\d+$/).transform(Number);
const instant = integer.refine(isInstant, 'must be milliseconds since epoch');
const flag = z.stringbool({ truthy: ['true'], falsy: ['false'], case: 'sensitive' });
const count = z.stringFormat('count', /^\d{1,9}$/).transform(Number);

const counterQuery = z.object({
  start: instant.default(0),
  end: instant.default(0),
  asBytes: flag.default(false),
  includeNonBillable: flag.default(false),
  resolution: z.literal(['86400000', '3600000']).transform(Number).default(DAY_MS),
});

export type CounterQuery = Omit<z.output<typeof counterQuery>, 'start' | 'end'> & { readonly window: Window };

/** Parses the query of a counter. Throws a rejection if a parameter or the range is invalid. */
export function parseCounterQuery(query: URLSearchParams, settings: Settings, nowMs: number): CounterQuery {
  const { start, end, ...rest } = checkValue(counterQuery, toFields(query));
  const [requestedMs, endMs] = [toInstant(start, nowMs), toInstant(end, nowMs)];
  const { maxRangeDays, longRange, retention, detailDays } = settings;
  const earliestMs = maxRangeDays === null ? 0 : endMs - maxRangeDays * DAY_MS;
  const startMs = longRange === 'cut' ? Math.max(requestedMs, earliestMs + 1) : requestedMs;
  if (endMs < startMs) throw createValidationError('end', 'must not be before start');
  if (startMs < earliestMs) {
    throw createValidationError('start', `must not be more than ${maxRangeDays} days before end`);
  }
  if (retention === 'refuse' && dayOf(startMs) < findOldestDay(settings, nowMs)) {
    throw createValidationError('start', `must not be more than ${detailDays} days ago`);
  }
  return { window: { startMs, endMs }, ...rest };
}

/** Returns the oldest day whose detail is retained. */
export function findOldestDay({ detailDays }: Settings, nowMs: number): number {
  return dayOf(nowMs) - detailDays;
}

/** Returns the instant of a parameter. 0, a negative number and the default mean relative to now. */
function toInstant(ms: number, nowMs: number): number {
  return ms > 0 ? ms : Math.max(0, nowMs + ms);
}

const listQuery = z.object({
  page: count.default(0),
  perPage: count.refine((size) => size > 0, 'must be at least 1').default(100),
  sortField: z.enum(['name', 'id', 'creationDate', 'lastUpdated']).default('name'),
  sortDirection: z.enum(['asc', 'desc', 'ASC', 'DESC']).default('asc'),
});
export type ListQuery = z.output<typeof listQuery>;

/** Parses the query of the organization list. Throws a rejection if a parameter is invalid. */
export function parseListQuery(query: URLSearchParams): ListQuery {
  return checkValue(listQuery, toFields(query));
}

/** Returns the parameters that are not blank. A repeated one is an array for the API, and so never valid. */
function toFields(query: URLSearchParams): Record<string, unknown> {
  const entries = [...query.keys()].map((key) => [key, query.getAll(key)] as const);
  const values = entries.map(([key, all]) => [key, all.length > 1 ? all : all[0]] as const);
  return Object.fromEntries(values.filter(([, value]) => value !== ''));
}
