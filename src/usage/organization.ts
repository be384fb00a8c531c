import * as z from 'zod';
import { describeProblems, InexactNumber, instant, toStorableText } from './body.ts';
import type { UsageDay } from './day.ts';

/** The pattern of an ID. Losant writes IDs in lower case, and they are stored so; people may use either. */
export const ID_PATTERN = '[0-9a-f]{24}';

const STORED_ID = new RegExp(`^${ID_PATTERN}$`);

/** Returns whether a text has the form in which IDs are stored. */
export function isLosantId(text: string): boolean {
  return STORED_ID.test(text);
}

const hexId = z.string().toLowerCase().refine(isLosantId, 'is not an ID of 24 hex digits');

/** Accepts numbers and booleans as text: an unexpected type must not make the organization unreadable. */
const text = z.preprocess((value) => toText(value) ?? value, z.string());
const tag = z.object({ key: text, value: text });

const orNull = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? null);
const time = orNull(instant);

/** The API's published schema requires only the name. Times become ISO text in UTC with milliseconds. */
const attributes = z.object({
  orgId: orNull(hexId),
  id: orNull(hexId),
  name: text,
  /** Keys may repeat. Invalid tags are ignored. */
  tags: orNull(z.array(z.unknown())).transform((tags) =>
    (tags ?? []).flatMap((each) => tag.safeParse(each).data ?? []),
  ),
  referralId: orNull(text),
  planId: orNull(text),
  customerId: orNull(text),
  /** Only the numeric limits, under any key. */
  limits: orNull(z.record(z.string(), z.unknown())).transform((limits) => toNumbers(limits ?? {})),
  currentPeriodStart: time.transform(toTimeText),
  /** Exclusive: the first instant after the billing period. */
  currentPeriodEnd: time.transform((endMs) => toTimeText(toHalfOpen(endMs))),
  creationDate: time,
});

/** An organization with its attributes as last seen in Losant. */
export interface Organization extends Omit<z.output<typeof attributes>, 'id' | 'creationDate'> {
  readonly orgId: string;
  /** Null if unknown or in the future. */
  readonly createdOn: UsageDay | null;
}

/** An organization whose attributes cannot be read. It exists, so it must not be treated as deleted. */
export interface UnreadableOrg {
  /** Null if not even the ID could be read. */
  readonly orgId: string | null;
  readonly problem: string;
}

/** A creation time further in the future than this, by the response's own clock, is ignored. */
const FUTURE_MS = 5 * 60_000;

/** Never throws: one that cannot be read must not hide others. `respondedAtMs` is by the API's clock. */
export function parseOrganization(raw: unknown, respondedAtMs: number): Organization | UnreadableOrg {
  const { data, error } = attributes.safeParse(raw);
  if (error) return { orgId: anyId.safeParse(raw).data ?? null, problem: describeProblems(error) };
  const { id, creationDate, ...organization } = data;
  const orgId = organization.orgId ?? id;
  if (orgId === null) return { orgId, problem: 'orgId: is missing' };
  const isInFuture = creationDate !== null && creationDate > respondedAtMs + FUTURE_MS;
  return { ...organization, orgId, createdOn: isInFuture ? null : (toTimeText(creationDate)?.slice(0, 10) ?? null) };
}

const anyId = z.union([
  z.object({ orgId: hexId }).transform((it) => it.orgId),
  z.object({ id: hexId }).transform((it) => it.id),
]);

/** Returns an exclusive end. The API sends the last millisecond, `…59.999Z`; a whole second is already exclusive. */
function toHalfOpen(endMs: number | null): number | null {
  return endMs !== null && (endMs + 1) % 1000 === 0 ? endMs + 1 : endMs;
}

/** Returns null for a year outside 1 to 9999, which Postgres rejects. */
function toTimeText(ms: number | null): string | null {
  const iso = ms === null ? '' : new Date(ms).toISOString();
  return /^\d{4}-/.test(iso) && iso >= '0001' ? iso : null;
}

/** Returns null if the value is not a scalar. */
function toText(value: unknown): string | null {
  if (typeof value === 'string') return toStorableText(value);
  if (value instanceof InexactNumber) return value.text;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

function toNumbers(limits: Record<string, unknown>): Record<string, number> {
  const numbers = Object.entries(limits).filter((entry) => Number.isFinite(entry[1]));
  return Object.fromEntries(numbers.map(([key, value]) => [toStorableText(key), value as number]));
}
