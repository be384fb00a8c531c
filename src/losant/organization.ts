import { z } from 'zod';

/** An organization as the API tells it, in this program's terms. Times are UTC, ISO text with milliseconds. */
export interface Organization {
  /** Lower-case hex. */
  readonly orgId: string;
  readonly instanceId: string | null;
  readonly name: string;
  /** Keys may repeat. */
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  /** The numeric limits; the API's map is open. */
  readonly limits: Readonly<Record<string, number>>;
  readonly isReadOnly: boolean;
  readonly disabledAt: string | null;
  readonly currentPeriodStart: string | null;
  /** Half-open: the first instant after the billing period. */
  readonly currentPeriodEnd: string | null;
  readonly createdAt: string | null;
}

/** The reading of one org: never throws, because one unreadable org must not hide the others of its page. */
export type OrganizationReading =
  | { readonly ok: true; readonly organization: Organization }
  | {
      readonly ok: false;
      /** The id, if at least that could be read: the org exists and must not be taken for a deleted one. */
      readonly orgId: string | null;
      readonly problem: string;
      readonly raw: unknown;
    };

const id = z
  .string()
  .regex(/^[A-Fa-f\d]{24}$/, 'not an id of 24 hex digits')
  .transform((text) => text.toLowerCase());

/** NUL and lone surrogates cannot be stored as text in Postgres, nor as JSON. */
const text = z.string().transform(storableText);

const time = z.iso.datetime({ offset: true }).transform((iso) => new Date(iso).toISOString());

/** The API sends the period's last millisecond, `…59.999Z`; an end on a whole second is already half-open. */
const periodEnd = time.transform((iso) =>
  iso.endsWith('.999Z') ? new Date(Date.parse(iso) + 1).toISOString() : iso,
);

/** Only the name is required by the API's published schema; unknown keys are tolerated. */
const apiOrganization = z.object({
  orgId: id.nullish(),
  id: id.nullish(),
  instanceId: id.nullish(),
  name: text,
  tags: z.array(z.object({ key: text, value: text })).nullish(),
  referralId: text.nullish(),
  planId: text.nullish(),
  customerId: text.nullish(),
  limits: z.record(z.string(), z.unknown()).nullish(),
  isReadOnly: z.boolean().nullish(),
  disabledAt: z.union([z.literal(false), time]).nullish(),
  currentPeriodStart: time.nullish(),
  currentPeriodEnd: periodEnd.nullish(),
  creationDate: time.nullish(),
});

export function readOrganization(raw: unknown): OrganizationReading {
  const parsed = apiOrganization.safeParse(raw);
  if (!parsed.success) return { ok: false, orgId: readId(raw), problem: describeProblems(parsed.error), raw };
  const { data } = parsed;
  const orgId = data.orgId ?? data.id;
  if (orgId == null) return { ok: false, orgId: null, problem: 'orgId: missing', raw };
  return {
    ok: true,
    organization: {
      orgId,
      instanceId: data.instanceId ?? null,
      name: data.name,
      tags: data.tags ?? [],
      referralId: data.referralId ?? null,
      planId: data.planId ?? null,
      customerId: data.customerId ?? null,
      limits: numbersOf(data.limits ?? {}),
      isReadOnly: data.isReadOnly ?? false,
      disabledAt: data.disabledAt || null,
      currentPeriodStart: data.currentPeriodStart ?? null,
      currentPeriodEnd: data.currentPeriodEnd ?? null,
      createdAt: data.creationDate ?? null,
    },
  };
}

/** One line with the path of each problem, the first three of them. */
export function describeProblems(error: z.ZodError): string {
  const problems = error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  const more = problems.length > 3 ? ` and ${problems.length - 3} more` : '';
  return problems.slice(0, 3).join('; ') + more;
}

const anyId = z.union([
  z.object({ orgId: id }).transform((it) => it.orgId),
  z.object({ id }).transform((it) => it.id),
]);

function readId(raw: unknown): string | null {
  return anyId.safeParse(raw).data ?? null;
}

function storableText(value: string): string {
  return value.toWellFormed().replaceAll('\0', '\uFFFD');
}

function numbersOf(limits: Record<string, unknown>): Record<string, number> {
  const numbers = Object.entries(limits).filter((entry): entry is [string, number] =>
    Number.isFinite(entry[1]),
  );
  return Object.fromEntries(numbers.map(([key, value]) => [storableText(key), value]));
}
