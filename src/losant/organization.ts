import { z } from 'zod';
import { describeProblems, hexId, InexactNumber, instant, toStorableText } from '../usage/body.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';

/** A creation time further in the future than this, by the response's own clock, is ignored. */
const FUTURE_MS = 5 * 60_000;

/** Accepts numbers and booleans as text: an unexpected type must not make the organization unreadable. */
const text = z.preprocess((value) => toText(value) ?? value, z.string());
const tag = z.object({ key: text, value: text });

/** The API's published schema requires only the name. */
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
 * Parses one organization. `respondedAtMs` is by the API's clock. Never throws, because one organization that cannot be
 * read must not hide the others on its page.
 */
export function parseOrganization(raw: unknown, respondedAtMs: number): Organization | UnreadableOrg {
  const { data, error } = apiOrganization.safeParse(raw);
  if (error) return { orgId: anyId.safeParse(raw).data ?? null, problem: describeProblems(error) };
  const orgId = data.orgId ?? data.id;
  if (orgId == null) return { orgId: null, problem: 'orgId: is missing' };
  const createdMs = data.creationDate ?? null;
  const isInFuture = createdMs !== null && createdMs > respondedAtMs + FUTURE_MS;
  return {
    orgId,
    instanceId: data.instanceId ?? null,
    name: data.name,
    // Invalid tags are ignored.
    tags: (data.tags ?? []).flatMap((each) => tag.safeParse(each).data ?? []),
    referralId: data.referralId ?? null,
    planId: data.planId ?? null,
    customerId: data.customerId ?? null,
    limits: toNumbers(data.limits ?? {}),
    currentPeriodStart: toTimeText(data.currentPeriodStart),
    currentPeriodEnd: toTimeText(toHalfOpen(data.currentPeriodEnd ?? null)),
    createdOn: isInFuture ? null : (toTimeText(createdMs)?.slice(0, 10) ?? null),
  };
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
function toTimeText(ms: number | null | undefined): string | null {
  const text = ms == null ? '' : new Date(ms).toISOString();
  return /^\d{4}-/.test(text) && text >= '0001' ? text : null;
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
