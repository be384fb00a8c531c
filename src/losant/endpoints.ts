/** The endpoints that this program reads, except the list of organizations. */
import { z } from 'zod';
import { describeProblems, hexId, InexactNumber, instant, toStorableText } from '../usage/body.ts';
import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import { unexpectedBody } from './attempt.ts';
import type { GetRequest, LosantClient } from './client.ts';

const instanceBody = z.object({
  id: z.string().optional(),
  instanceId: z.string().optional(),
  name: z.string().nullish(),
});

/** Throws a `LosantError`: `not_found` if the token cannot see the instance. */
export async function getInstance(
  client: LosantClient,
  { instanceId, signal }: { readonly instanceId: string; readonly signal: AbortSignal },
): Promise<{ readonly name: string | null }> {
  const request = { action: 'instance.get', ids: { instance: instanceId }, signal };
  const response = await client.get({ ...request, path: instancePath(instanceId) });
  const { data, error } = instanceBody.safeParse(response.body);
  if (error) throw unexpectedBody(request, response, describeProblems(error));
  const { id, instanceId: alternativeId, name = null } = data;
  // The fields of this body are not documented, so a body with nothing but a name is accepted.
  const responseId = id ?? alternativeId ?? (name === null ? null : instanceId);
  if (responseId === null) throw unexpectedBody(request, response, 'it has neither an ID nor a name');
  if (responseId.toLowerCase() !== instanceId.toLowerCase()) {
    throw unexpectedBody(request, response, `it is about instance ${responseId}`);
  }
  return { name: name && toStorableText(name) };
}

export interface OrgResource {
  readonly organization: Organization;
  /** The complete body. */
  readonly resource: Readonly<Record<string, unknown>>;
}

/** Throws a `LosantError`: `not_found` if the organization is unknown, `bad_body` if its attributes cannot be read. */
export async function getOrg(
  client: LosantClient,
  target: { readonly instanceId: string; readonly orgId: string; readonly signal: AbortSignal },
): Promise<OrgResource> {
  const { instanceId, orgId, signal } = target;
  const request = { action: 'instanceOrg.get', ids: { org: orgId }, signal };
  const response = await client.get({ ...request, path: orgPath(instanceId, orgId) });
  const organization = parseOrganization(response.body, response.dateMs ?? response.receivedAtMs);
  if ('problem' in organization) throw unexpectedBody(request, response, organization.problem);
  if (organization.orgId !== orgId.toLowerCase()) {
    throw unexpectedBody(request, response, `it is about organization ${organization.orgId}`);
  }
  return { organization, resource: JSON.parse(response.text) as OrgResource['resource'] };
}

/** A request for one counter of an organization or of the whole instance. */
interface CounterRequest extends UsageRequest {
  readonly instanceId: string;
  /** The organization, or {@link WHOLE_INSTANCE}. */
  readonly orgId: string;
  readonly range: DayRange;
  readonly signal: AbortSignal;
}

/**
 * Creates the request for a counter. The end is the last millisecond of the last day: the API documents ranges that
 * way, and whether it includes the end or not, no bucket of another day fits.
 */
export function createUsageRequest(request: CounterRequest): GetRequest {
  const { instanceId, orgId, action, query, range, signal } = request;
  const { from, to } = range;
  // The API treats a start of 0 or below as relative to now.
  const isValid = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isValid) throw new Error(`not a range of usage days: ${from}..${to}`);
  const days = from === to ? from : `${from}..${to}`;
  const isInstance = orgId === WHOLE_INSTANCE;
  return {
    action: `${isInstance ? 'instance' : 'instanceOrg'}.${action}`,
    ids: { ...(isInstance ? { instance: instanceId } : { org: orgId }), days },
    path: `${isInstance ? instancePath(instanceId) : orgPath(instanceId, orgId)}/${action}`,
    query: { ...query, start: String(dayStartMs(from)), end: String(dayEndMs(to) - 1) },
    notBeforeMs: dayEndMs(to),
    signal,
  };
}

/** Returns a path below the API URL. */
export function instancePath(instanceId: string): string {
  return `instances/${encodeURIComponent(instanceId)}`;
}

export function orgPath(instanceId: string, orgId: string): string {
  return `${instancePath(instanceId)}/orgs/${encodeURIComponent(orgId)}`;
}

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

/** Never throws: one that cannot be read must not hide others. `respondedAtMs` is by the API's clock. */
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
