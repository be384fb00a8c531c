import { isoMs, monthlyPeriod } from './calendar.ts';
import { hashText } from './hash.ts';
import type { Org } from './organizations.ts';
import type { Body } from './refusal.ts';
import type { World } from './world.ts';

/** Returns the organization as Get, Patch and the list serve it. */
export function orgBody(world: World, org: Org): Body {
  if (org.traits.includes('bare')) return org.attributes;
  const { salt, idle, devices } = org.profile;
  const period = monthlyPeriod(world.now(), 1 + (salt % 28));
  return {
    instanceId: world.instanceId,
    currentPeriodStart: isoMs(period.startMs),
    currentPeriodEnd: isoMs(period.endMs - 1),
    ...org.attributes,
    summary: { appCount: 1 + (salt % 4), deviceCount: idle ? 0 : devices, memberCount: 3 },
  };
}

export function instanceBody({ instanceId, seed, organizations }: World): Body {
  return {
    id: instanceId,
    instanceId,
    name: `Simulated instance ${seed}`,
    creationDate: '2019-01-15T09:30:00.000Z',
    lastUpdated: '2019-01-15T09:30:00.000Z',
    orgCount: organizations.living().length,
  };
}

/** Adds the keys that every body has, of which the query can switch `_links` off and `_actions` on. */
export function withEnvelope(
  body: Body,
  type: string,
  { path, query }: { readonly path: string; readonly query: URLSearchParams },
): Body {
  const links = query.get('_links') === 'false' ? {} : { _links: { self: { href: path } } };
  const actions = query.get('_actions') === 'true' ? { _actions: [] } : {};
  const etag = `"${hashText(JSON.stringify(body)).toString(16)}"`;
  return { ...body, _type: type, _etag: etag, ...links, ...actions };
}
