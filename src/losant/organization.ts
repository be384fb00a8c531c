import { z } from 'zod';
import { describeProblems, hexId, InexactNumber, instant, toStorableText } from '../usage/body.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';

/** A creation time further in the future than this, by the response's own clock, is ignored. */
const FUTURE_MS = 5 * 60_000;

/** Numbers and booleans are taken as text: an odd type must not cost the organization. */
const text = z.preprocess((value) => textOf(value) ?? value, z.string());
const tag = z.object({ key: text, value: text });

/** Only the name is required by the API's published schema; unknown keys are tolerated. */
const apiOrganization = z.object({
  orgId: hexId.nullish(),
  id: hexId.nullish(),
  instanceId: hexId.nullish(),
  name: text,
  tags: z.array(z.unknown()).nullish(),
  referralId: text.nullish(),
  planId: text.nullish(),
  customerId: text.nullish(),
  limits: z.record(z.string(), z.unknown()).nullish(),
  currentPeriodStart: instant.nullish(),
  currentPeriodEnd: instant.nullish(),
  creationDate: instant.nullish(),
});

/**
 * Reads one organization. `answeredAtMs` is when the API sent it, by its own clock. Never throws, because one that
 * cannot be read must not hide the others on its page.
 */
export function readOrganization(raw: unknown, answeredAtMs: number): Organization | UnreadableOrg {
  const { data, error } = apiOrganization.safeParse(raw);
  if (error) return { orgId: anyId.safeParse(raw).data ?? null, problem: describeProblems(error) };
  const orgId = data.orgId ?? data.id;
  if (orgId == null) return { orgId: null, problem: 'orgId: missing' };
  const createdMs = data.creationDate ?? null;
  const isToCome = createdMs !== null && createdMs > answeredAtMs + FUTURE_MS;
  return {
    orgId,
    instanceId: data.instanceId ?? null,
    name: data.name,
    // A tag that lacks its key or its value is left out.
    tags: (data.tags ?? []).flatMap((each) => tag.safeParse(each).data ?? []),
    referralId: data.referralId ?? null,
    planId: data.planId ?? null,
    customerId: data.customerId ?? null,
    limits: numbersOf(data.limits ?? {}),
    currentPeriodStart: readTime(data.currentPeriodStart),
    currentPeriodEnd: readTime(halfOpen(data.currentPeriodEnd ?? null)),
    createdOn: isToCome ? null : (readTime(createdMs)?.slice(0, 10) ?? null),
  };
}

const anyId = z.union([
  z.object({ orgId: hexId }).transform((it) => it.orgId),
  z.object({ id: hexId }).transform((it) => it.id),
]);

/**
 * Returns the end of a period as a half-open bound. The API sends the last millisecond,
 * `…59.999Z`; an end on a whole second is already half-open.
 */
function halfOpen(endMs: number | null): number | null {
  return endMs !== null && (endMs + 1) % 1000 === 0 ? endMs + 1 : endMs;
}

/** Returns the time as text; null for a year outside 1 to 9999, which Postgres refuses. */
function readTime(ms: number | null | undefined): string | null {
  const text = ms == null ? '' : new Date(ms).toISOString();
  return /^\d{4}-/.test(text) && text >= '0001' ? text : null;
}

/** Returns the value as text that can be stored; null if it is not a scalar. */
function textOf(value: unknown): string | null {
  if (typeof value === 'string') return toStorableText(value);
  if (value instanceof InexactNumber) return value.text;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

function numbersOf(limits: Record<string, unknown>): Record<string, number> {
  const numbers = Object.entries(limits).filter((entry) => Number.isFinite(entry[1]));
  return Object.fromEntries(numbers.map(([key, value]) => [toStorableText(key), value as number]));
}
