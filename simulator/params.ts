import { z } from 'zod';
import { DAY_MS, dayOf, type Window } from './calendar.ts';
import { checked, invalid } from './refusal.ts';
import type { Settings } from './settings.ts';

/** The least plausible instant, in 1973-03: anything below is seconds, not milliseconds. */
const SMALLEST_MS = 1e11;
/** The last instant that a JavaScript date can represent. */
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

/** Returns the query of a counter. Throws a refusal if a parameter or the range is not allowed. */
export function readCounterQuery(query: URLSearchParams, settings: Settings, nowMs: number): CounterQuery {
  const { start, end, ...rest } = checked(counterQuery, fieldsOf(query));
  const [startMs, endMs] = [absolute(start, nowMs), absolute(end, nowMs)];
  const { maxRangeDays, retention, detailDays } = settings;
  if (endMs < startMs) throw invalid('end', 'must not be before start');
  if (maxRangeDays !== null && endMs - startMs > maxRangeDays * DAY_MS) {
    throw invalid('start', `must not be more than ${maxRangeDays} days before end`);
  }
  if (retention === 'refuse' && dayOf(startMs) < oldestDay(settings, nowMs)) {
    throw invalid('start', `must not be more than ${detailDays} days ago`);
  }
  return { window: { startMs, endMs }, ...rest };
}

/** Returns the oldest day whose detail is kept. */
export function oldestDay({ detailDays }: Settings, nowMs: number): number {
  return dayOf(nowMs) - detailDays;
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
});
export type ListQuery = z.output<typeof listQuery>;

/** Returns the query of the organization list. Throws a refusal if a parameter is not allowed. */
export function readListQuery(query: URLSearchParams): ListQuery {
  return checked(listQuery, fieldsOf(query));
}

/** Returns the parameters that are not blank. A repeated one is an array to the API and thus never valid. */
function fieldsOf(query: URLSearchParams): Record<string, unknown> {
  const entries = [...query.keys()].map((key) => [key, query.getAll(key)] as const);
  const values = entries.map(([key, all]) => [key, all.length > 1 ? all : all[0]] as const);
  return Object.fromEntries(values.filter(([, value]) => value !== ''));
}
