/** The endpoints that this program reads, except the list of organizations. */
import { z } from 'zod';
import { describeProblems, toStorableText } from '../usage/body.ts';
import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import { parseOrganization } from '../usage/organization.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import type { GetRequest, LosantClient } from './client.ts';
import { unexpectedBody } from './failure.ts';

const instanceBody = z.object({
  id: z.string().optional(),
  instanceId: z.string().optional(),
  name: z.string().nullish(),
});

/** Throws a `LosantError`: `not_found` if the token cannot see the instance. */
export async function getInstance(
  client: LosantClient,
  signal: AbortSignal,
): Promise<{ readonly name: string | null }> {
  const { instanceId } = client;
  const request = { action: 'instance.get', ids: { instance: instanceId }, signal };
  const response = await client.get({ ...request, path: '' });
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

/** An organization, and the complete body of the response. */
export type OrgResource = Awaited<ReturnType<typeof getOrg>>;

/** Throws a `LosantError`: `not_found` if the organization is unknown, `bad_body` if its attributes cannot be read. */
export async function getOrg(client: LosantClient, orgId: string, signal: AbortSignal) {
  const request = { action: 'instanceOrg.get', ids: { org: orgId }, signal };
  const response = await client.get({ ...request, path: orgPath(orgId) });
  const organization = parseOrganization(response.body, response.dateMs ?? response.receivedAtMs);
  if ('problem' in organization) throw unexpectedBody(request, response, organization.problem);
  if (organization.orgId !== orgId.toLowerCase()) {
    throw unexpectedBody(request, response, `it is about organization ${organization.orgId}`);
  }
  return { organization, resource: JSON.parse(response.text) as Readonly<Record<string, unknown>> };
}

/** A request for one counter of an organization or of the whole instance. */
interface CounterRequest extends UsageRequest {
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
  const { orgId, action, query, range, signal } = request;
  const { from, to } = range;
  // The API treats a start of 0 or below as relative to now.
  if (parseDay(from) === null || parseDay(to) === null || from > to)
    throw new Error(`not a range of usage days: ${from}..${to}`);
  const days = from === to ? from : `${from}..${to}`;
  const isInstance = orgId === WHOLE_INSTANCE;
  return {
    action: `${isInstance ? 'instance' : 'instanceOrg'}.${action}`,
    ids: isInstance ? { days } : { org: orgId, days },
    path: `${isInstance ? '' : orgPath(orgId)}/${action}`,
    query: { ...query, start: String(dayStartMs(from)), end: String(dayEndMs(to) - 1) },
    notBeforeMs: dayEndMs(to),
    signal,
  };
}

function orgPath(orgId: string): string {
  return `/orgs/${encodeURIComponent(orgId)}`;
}
