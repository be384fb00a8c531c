import { LosantError } from '../errors.ts';
import { countOrganizations, markRemoved } from '../ledger/organizations.ts';
import { getInstance, getOrg, listOrgPages } from '../losant/orgs.ts';
import type { Organization } from '../usage/organization.ts';
import type { DiscoverOptions, Refresh } from './discover.ts';

/** More removals than this in one go are not believed: a wrong token or a broken list looks the same. */
const REMOVALS_MAX = 1;
const REMOVALS_SHARE_MAX = 0.05;

export async function removalsAllowed({ db, instanceId }: DiscoverOptions): Promise<number> {
  return Math.max(REMOVALS_MAX, Math.floor((await countOrganizations(db, instanceId)) * REMOVALS_SHARE_MAX));
}

/** The organization, `unknown` for a 404, or why its attributes cannot be read: one's trouble stops no other. */
export async function lookUpOrg(
  { client, instanceId, signal }: DiscoverOptions,
  orgId: string,
): Promise<Organization | string> {
  try {
    return await getOrg(client, { instanceId, orgId, signal });
  } catch (error) {
    if (!(error instanceof LosantError) || error.kind === 'unauthorized') throw error;
    return error.kind === 'not_found' ? 'unknown' : error.message;
  }
}

/**
 * Marks those of the organizations as removed that really are: Get organization
 * says 404, Get instance does not, and a complete list that is not empty lacks
 * them. Too many at once are refused.
 */
export async function confirmRemovals(
  options: DiscoverOptions,
  suspects: readonly string[],
): Promise<Refresh> {
  const { db, now } = options;
  const allowed = await removalsAllowed(options);
  const gone: string[] = [];
  for (const orgId of suspects) {
    if (gone.length <= allowed && (await lookUpOrg(options, orgId)) === 'unknown') gone.push(orgId);
  }
  if (gone.length === 0) return { failures: [], removed: [] };
  if (gone.length > allowed) {
    const message = `${gone.length} or more organizations seem to be deleted at once, at most ${allowed} are believed in one run`;
    return { failures: [{ orgId: null, code: 'removals_refused', message }], removed: [] };
  }
  const removed = await findUnlisted(options, gone);
  if (removed.length > 0) await markRemoved(db, removed, new Date(now()).toISOString());
  return { failures: [], removed };
}

/** Those of the ids that a complete list lacks; none if the instance or its list cannot be read. */
async function findUnlisted(options: DiscoverOptions, orgIds: readonly string[]): Promise<string[]> {
  const { client, instanceId, signal } = options;
  try {
    await getInstance(client, { instanceId, signal });
    const { found, isComplete } = await listMembership(options, new Set(orgIds));
    return isComplete ? orgIds.filter((orgId) => !found.has(orgId)) : [];
  } catch (error) {
    if (error instanceof LosantError && error.kind !== 'unauthorized') return [];
    throw error;
  }
}

/** Which of the ids Losant lists, and whether the list can be believed to be whole. */
async function listMembership({ client, instanceId, signal }: DiscoverOptions, ids: ReadonlySet<string>) {
  const found = new Set<string>();
  const pages = listOrgPages(client, { instanceId, signal });
  for (;;) {
    const step = await pages.next();
    if (step.done) return { found, isComplete: step.value.isComplete && step.value.listed > 0 };
    for (const { orgId } of [...step.value.items, ...step.value.rejected]) {
      if (orgId !== null && ids.has(orgId)) found.add(orgId);
    }
  }
}
