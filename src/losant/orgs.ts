import { z } from 'zod';
import { describeProblems } from '../usage/body.ts';
import type { Organization } from '../usage/organization.ts';
import type { Answer } from './answer.ts';
import { unusableAnswer } from './attempt.ts';
import type { GetRequest, LosantClient } from './client.ts';
import { readOrganization } from './organization.ts';

export interface Instance {
  readonly name: string | null;
  readonly answer: Answer;
}

const instanceBody = z.object({
  id: z.string().optional(),
  instanceId: z.string().optional(),
  name: z.string().nullish(),
});

/** Throws a `LosantError`: `not_found` if the token does not know the instance. */
export async function getInstance(
  client: LosantClient,
  { instanceId, attempts, signal }: Pick<GetRequest, 'attempts' | 'signal'> & { readonly instanceId: string },
): Promise<Instance> {
  const asked = { action: 'instance.get', ids: { instance: instanceId } };
  const answer = await client.get({ ...asked, path: instancePath(instanceId), attempts, signal });
  const parsed = instanceBody.safeParse(answer.body);
  if (!parsed.success) throw unusableAnswer(asked, answer, describeProblems(parsed.error));
  const { id, instanceId: otherId, name = null } = parsed.data;
  // The fields of this body are not documented: a body that only names the instance is enough.
  const answeredId = id ?? otherId ?? (name === null ? 'unnamed' : instanceId);
  if (answeredId.toLowerCase() !== instanceId.toLowerCase()) {
    throw unusableAnswer(asked, answer, `answered for instance ${answeredId}`);
  }
  return { name, answer };
}

export interface OrgQuestion {
  readonly instanceId: string;
  readonly orgId: string;
  readonly signal: AbortSignal;
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
  { instanceId, orgId, signal }: OrgQuestion,
): Promise<OrgResource> {
  const asked = { action: 'instanceOrg.get', ids: { org: orgId } };
  const answer = await client.get({ ...asked, path: orgPath(instanceId, orgId), signal });
  const reading = readOrganization(answer.body, answer.dateMs ?? answer.receivedAtMs);
  if (!reading.ok) throw unusableAnswer(asked, answer, reading.problem);
  const { organization } = reading;
  if (organization.orgId !== orgId.toLowerCase()) {
    throw unusableAnswer(asked, answer, `answered for organization ${organization.orgId}`);
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
