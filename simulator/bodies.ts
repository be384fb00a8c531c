import { isoMs, monthlyPeriod } from './calendar.ts';
import { hashText } from './hash.ts';
import type { PatchProblem } from './patch.ts';
import type { Org } from './population.ts';
import type { World } from './world.ts';

export type Body = Record<string, unknown>;

/** Returns the error body of the API. */
export function errorBody(type: string, message: string, problems: readonly PatchProblem[] = []): Body {
  const validationErrors = problems.map(({ path, message }) => ({ path, message }));
  return { type, message, ...(validationErrors.length > 0 ? { validationErrors } : {}) };
}

/**
 * Adds the keys that every body has: `_type`, an `_etag` over the content, `_links` unless switched
 * off, and `_actions` when asked for, as the official clients do.
 */
export function withEnvelope(body: Body, type: string, path: string, query: URLSearchParams): Body {
  const links = query.get('_links') === 'false' ? {} : { _links: linksOf(path) };
  const actions = query.get('_actions') === 'true' ? { _actions: [] } : {};
  const etag = `"${hashText(JSON.stringify(body)).toString(16)}"`;
  return { ...body, _type: type, _etag: etag, ...links, ...actions };
}

function linksOf(path: string): Body {
  const [, , instanceId, , orgId] = path.split('/');
  const instance = { href: `/instances/${instanceId}` };
  const org = orgId === undefined ? {} : { instanceOrg: { href: `/instances/${instanceId}/orgs/${orgId}` } };
  return { self: { href: path }, instance, ...org };
}

/** Returns the organization as Get, Patch and the list serve it. */
export function orgBody(world: World, org: Org): Body {
  const { id, orgId, name, ...rest } = org.attributes;
  if (org.traits.includes('bare')) return { name, id, ...rest };
  const period = monthlyPeriod(world.clock.now(), org.billingDay);
  return {
    ...(rest as Body),
    name,
    id,
    orgId,
    instanceId: world.instanceId,
    currentPeriodStart: org.attributes.currentPeriodStart ?? isoMs(period.startMs),
    currentPeriodEnd: org.attributes.currentPeriodEnd ?? isoMs(period.endMs - 1),
    summary: { appCount: 1 + (org.profile.salt % 4), deviceCount: org.deviceCountAtCreation, memberCount: 3 },
  };
}

export function instanceBody(world: World): Body {
  return {
    id: world.instanceId,
    instanceId: world.instanceId,
    name: `Simulated instance ${world.seed}`,
    creationDate: '2019-01-15T09:30:00.000Z',
    lastUpdated: '2019-01-15T09:30:00.000Z',
    orgCount: world.population.living().length,
  };
}
