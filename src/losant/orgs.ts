import { z } from 'zod';
import { describeProblems } from '../usage/body.ts';
import type { Organization } from '../usage/organization.ts';
import { unexpectedBody } from './attempt.ts';
import type { LosantClient } from './client.ts';
import { readOrganization } from './organization.ts';

const instanceBody = z.object({
  id: z.string().optional(),
  instanceId: z.string().optional(),
  name: z.string().nullish(),
});

/** Returns the name of an instance. Throws a `LosantError`: `not_found` if the token does not know the instance. */
export async function getInstance(
  client: LosantClient,
  { instanceId, signal }: { readonly instanceId: string; readonly signal: AbortSignal },
): Promise<{ readonly name: string | null }> {
  const request = { action: 'instance.get', ids: { instance: instanceId }, signal };
  const answer = await client.get({ ...request, path: instancePath(instanceId) });
  const { data, error } = instanceBody.safeParse(answer.body);
  if (error) throw unexpectedBody(request, answer, describeProblems(error));
  const { id, instanceId: otherId, name = null } = data;
  // The fields of this body are not documented: a body that only names the instance is enough.
  const answeredId = id ?? otherId ?? (name === null ? 'unnamed' : instanceId);
  if (answeredId.toLowerCase() !== instanceId.toLowerCase()) {
    throw unexpectedBody(request, answer, `responded for instance ${answeredId}`);
  }
  return { name };
}

/** An organization as this program reads it, with Losant's answer as a JSON object. */
export interface OrgResource {
  readonly organization: Organization;
  readonly resource: Readonly<Record<string, unknown>>;
}

/**
 * Returns one organization. Throws a `LosantError`: `not_found` if it is unknown, `bad_body` if its attributes
 * cannot be read.
 */
export async function getOrg(
  client: LosantClient,
  target: { readonly instanceId: string; readonly orgId: string; readonly signal: AbortSignal },
): Promise<OrgResource> {
  const { instanceId, orgId, signal } = target;
  const request = { action: 'instanceOrg.get', ids: { org: orgId }, signal };
  const answer = await client.get({ ...request, path: orgPath(instanceId, orgId) });
  const organization = readOrganization(answer.body, answer.dateMs ?? answer.receivedAtMs);
  if ('problem' in organization) throw unexpectedBody(request, answer, organization.problem);
  if (organization.orgId !== orgId.toLowerCase()) {
    throw unexpectedBody(request, answer, `responded for organization ${organization.orgId}`);
  }
  return { organization, resource: JSON.parse(answer.text) as OrgResource['resource'] };
}

/** Returns the path of an instance below the API URL. */
export function instancePath(instanceId: string): string {
  return `instances/${encodeURIComponent(instanceId)}`;
}

export function orgPath(instanceId: string, orgId: string): string {
  return `${instancePath(instanceId)}/orgs/${encodeURIComponent(orgId)}`;
}
