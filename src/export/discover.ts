import type { Kysely } from 'kysely';
import { transform } from 'streaming-iterables';
import { dayAt } from '../usage/day.ts';
import { LosantError } from '../errors.ts';
import type { LosantClient } from '../losant/client.ts';
import type { Organization } from '../losant/organization.ts';
import { getInstance, getOrg, listOrgPages } from '../losant/orgs.ts';
import { readInstance, recordListing, type StoredInstance } from '../database/write/instances.ts';
import {
  addUnreadable,
  countOrganizations,
  filterKnown,
  markRemoved,
  readOrganizationPage,
  readUnseenOrganizations,
  upsertOrganizations,
} from '../database/write/organizations.ts';
import type { Schema } from '../database/schema.ts';
import { trackOrganizations, untrackOrganizations, untrackStreams } from '../database/write/tracking.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { isSelected, type OrgSelection } from '../usage/selection.ts';

export interface DiscoverOptions {
  readonly db: Kysely<Schema>;
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly streams: readonly string[];
  readonly selection: OrgSelection;
  readonly concurrency: number;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** An organization that could not be discovered. */
export interface DiscoveryFailure {
  readonly orgId: string | null;
  readonly code: 'org_unknown' | 'org_unreadable' | 'removals_refused' | 'discovery_failed';
  readonly message: string;
}

export interface Discovery {
  readonly failures: readonly DiscoveryFailure[];
  /** Organizations Losant has that the configuration leaves out. */
  readonly excluded: number;
  /** Organizations found deleted. */
  readonly removed: readonly string[];
  /** Losant's refusal of the scope to list organizations; the known ones are exported all the same. */
  readonly refusal: LosantError | null;
}

type Refresh = Pick<Discovery, 'failures' | 'removed'>;

/** More removals than this in one go are not believed: a wrong token or a broken list looks the same. */
const REMOVALS_MAX = 5;
const REMOVALS_SHARE_MAX = 0.05;

const ORGS_PER_PAGE = 500;

/**
 * Brings the organizations and what is promised of them up to date. Losant is
 * asked at most once a UTC day, and for configured ids that are not known yet.
 * If it does not answer, those already known are gone on with. Throws LosantError
 * for a refused token, and if none is known.
 */
export async function discover(options: DiscoverOptions): Promise<Discovery> {
  const { db, instanceId, now } = options;
  const instance = await readInstance(db, instanceId);
  if (!instance) throw new Error(`instance ${instanceId} is not registered`);
  const isStale = instance.listedAt === null || dayAt(Date.parse(instance.listedAt)) < dayAt(now());
  const seen = await refreshUnlessKnown(options, isStale);
  const excluded = await applySelection(options, instance);
  return { ...seen, excluded };
}

async function refreshUnlessKnown(
  options: DiscoverOptions,
  isStale: boolean,
): Promise<Refresh & Pick<Discovery, 'refusal'>> {
  try {
    return { ...(await refreshOrganizations(options, isStale)), refusal: null };
  } catch (error) {
    const mayGoOn = error instanceof LosantError && error.kind !== 'unauthorized';
    if (!mayGoOn || (await countOrganizations(options.db, options.instanceId)) === 0) throw error;
    const failure: DiscoveryFailure = { orgId: null, code: 'discovery_failed', message: error.message };
    return { failures: [failure], removed: [], refusal: error.kind === 'forbidden' ? error : null };
  }
}

async function refreshOrganizations(options: DiscoverOptions, isStale: boolean): Promise<Refresh> {
  const { db, instanceId, selection, now } = options;
  if (selection.kind === 'ids') {
    const known = await filterKnown(db, instanceId, selection.orgIds);
    const wanted = isStale ? selection.orgIds : selection.orgIds.filter((id) => !known.has(id));
    const result = await refreshByIds(options, wanted, known);
    if (isStale) await recordListing(db, instanceId, new Date(now()).toISOString());
    return result;
  }
  return isStale ? await refreshByList(options) : { failures: [], removed: [] };
}

async function refreshByList(options: DiscoverOptions): Promise<Refresh> {
  const { db, client, instanceId, signal, now } = options;
  const startedAt = new Date(now()).toISOString();
  const failures: DiscoveryFailure[] = [];
  for await (const { items, rejected } of listOrgPages(client, { instanceId, signal })) {
    await upsertOrganizations(db, {
      instanceId,
      organizations: items,
      seenAt: new Date(now()).toISOString(),
    });
    const unreadable = rejected.flatMap(({ orgId }) => (orgId === null ? [] : [orgId]));
    await addUnreadable(db, { instanceId, orgIds: unreadable, seenAt: new Date(now()).toISOString() });
    for (const { orgId, problem } of rejected) {
      failures.push({ orgId, code: 'org_unreadable', message: `attributes cannot be read: ${problem}` });
    }
  }
  await recordListing(db, instanceId, startedAt);
  const limit = (await removalsAllowed(options)) + 1;
  const unseen = await readUnseenOrganizations(db, { instanceId, since: startedAt, limit });
  const result = await confirmRemovals(options, unseen);
  return { failures: [...failures, ...result.failures], removed: result.removed };
}

async function refreshByIds(
  options: DiscoverOptions,
  orgIds: readonly string[],
  known: ReadonlySet<string>,
): Promise<Refresh> {
  const { db, instanceId, concurrency, now } = options;
  const failures: DiscoveryFailure[] = [];
  const gone: string[] = [];
  const lookUp = async (orgId: string) => ({ orgId, found: await lookUpOrg(options, orgId) });
  for await (const { orgId, found } of transform(concurrency, lookUp, orgIds)) {
    if (found === 'unknown') {
      if (known.has(orgId)) gone.push(orgId);
      else failures.push(unknownOrg(orgId, instanceId));
      continue;
    }
    const seenAt = new Date(now()).toISOString();
    if (typeof found === 'string') {
      failures.push({ orgId, code: 'org_unreadable', message: found });
      await addUnreadable(db, { instanceId, orgIds: [orgId], seenAt });
    } else {
      await upsertOrganizations(db, { instanceId, organizations: [found], seenAt });
    }
  }
  const { failures: refused, removed } = await confirmRemovals(options, gone);
  return { failures: [...failures, ...refused], removed };
}

function unknownOrg(orgId: string, instanceId: string): DiscoveryFailure {
  const message = `organization ${orgId} is configured, but instance ${instanceId} does not know it`;
  return { orgId, code: 'org_unknown', message };
}

/** The organization, `unknown` for a 404, or why its attributes cannot be read: one's trouble stops no other. */
async function lookUpOrg(
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
  const gone: string[] = [];
  for (const orgId of suspects) {
    if ((await lookUpOrg(options, orgId)) === 'unknown') gone.push(orgId);
  }
  if (gone.length === 0) return { failures: [], removed: [] };
  const allowed = await removalsAllowed(options);
  if (gone.length > allowed) {
    const message = `${gone.length} or more organizations seem to be deleted at once, at most ${allowed} are believed in one run`;
    return { failures: [{ orgId: null, code: 'removals_refused', message }], removed: [] };
  }
  const removed = await findUnlisted(options, gone);
  if (removed.length > 0) await markRemoved(db, removed, new Date(now()).toISOString());
  return { failures: [], removed };
}

/** Those of the ids that a complete list lacks; none if the instance or its list cannot be had. */
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

async function removalsAllowed({ db, instanceId }: DiscoverOptions): Promise<number> {
  return Math.max(REMOVALS_MAX, Math.floor((await countOrganizations(db, instanceId)) * REMOVALS_SHARE_MAX));
}

/** Which of the ids Losant lists, and whether the list can be believed to be whole. */
async function listMembership({ client, instanceId, signal }: DiscoverOptions, ids: ReadonlySet<string>) {
  const found = new Set<string>();
  let seen = 0;
  let total = 0;
  for await (const page of listOrgPages(client, { instanceId, signal })) {
    seen += page.items.length + page.rejected.length;
    total = page.totalCount;
    for (const { orgId } of [...page.items, ...page.rejected]) {
      if (orgId !== null && ids.has(orgId)) found.add(orgId);
    }
  }
  return { found, isComplete: total > 0 && seen === total };
}

/** Starts and ends promises so that they are those of the configuration. Returns how many organizations it leaves out. */
async function applySelection(options: DiscoverOptions, instance: StoredInstance): Promise<number> {
  const { db, instanceId, streams, selection, now } = options;
  const lastDay = lastCompleteDay(now());
  const streamsFrom = Object.fromEntries(
    streams.map((stream) => [stream, instance.streamsFrom[stream] ?? lastDay]),
  );
  await untrackStreams(db, { instanceId, streams }, lastDay);
  let excluded = 0;
  let afterOrgId = '';
  for (;;) {
    const page = await readOrganizationPage(db, instanceId, { afterOrgId, limit: ORGS_PER_PAGE });
    const last = page.at(-1);
    if (!last) return excluded;
    afterOrgId = last.orgId;
    const selected = new Set(page.filter((org) => isSelected(selection, org)).map(({ orgId }) => orgId));
    const others = page.filter(({ orgId }) => !selected.has(orgId)).map(({ orgId }) => orgId);
    excluded += others.length;
    await trackOrganizations(db, { orgIds: [...selected], streamsFrom });
    await untrackOrganizations(db, others, lastDay);
  }
}
