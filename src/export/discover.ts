import { transform } from 'streaming-iterables';
import { LosantError } from '../errors.ts';
import { readInstance, type StoredInstance, updateInstance } from '../ledger/instances.ts';
import {
  addUnreadable,
  countOrganizations,
  filterKnown,
  markRemoved,
  readOrganizationPage,
  readUnreadable,
  readUnseenOrganizations,
  upsertOrganizations,
} from '../ledger/organizations.ts';
import { trackOrganizations, untrackOrganizations, untrackStreams } from '../ledger/tracking.ts';
import { listOrgPages, type OrgListVerdict, type OrgPage } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { dayAt } from '../usage/day.ts';
import { isSelected, type Organization } from '../usage/organization.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import type { InstanceContext } from './context.ts';

/** An instance, and the signal of the run. */
type Discovering = InstanceContext & { readonly signal: AbortSignal };

/** An organization that could not be discovered. */
export interface DiscoveryFailure {
  readonly orgId: string | null;
  readonly code:
    | 'org_unknown'
    | 'org_unreadable'
    | 'removals_refused'
    | 'discovery_failed'
    | 'list_incomplete';
  readonly message: string;
}

interface Refresh {
  readonly failures: readonly DiscoveryFailure[];
  /** The organizations found to be deleted. */
  readonly removed: readonly string[];
}

interface Discovery {
  readonly failures: readonly DiscoveryFailure[];
  /** The number of Losant's organizations that the configuration leaves out. */
  readonly excluded: number;
  /** Losant's refusal of the scope to list organizations; known organizations are exported nevertheless. */
  readonly refusal: LosantError | null;
}

const ORGS_PER_PAGE = 500;

/** The number of listed organizations that one transaction stores. */
const STORED_AT_ONCE = 1_000;

/**
 * Brings the organizations and their tracking up to date. Asks Losant at most once a UTC day, and for
 * configured ids that are not known yet. If Losant does not answer, the export continues with the
 * known organizations. Throws LosantError for a refused token, and if no organization is known.
 */
export async function discover(options: Discovering): Promise<Discovery> {
  const { db, instanceId } = options;
  const instance = await readInstance(db, instanceId);
  if (!instance) throw new Error(`instance ${instanceId} is not registered`);
  const { failures, refusal } = await refreshUnlessKnown(options, isListStale(instance, options));
  const excluded = await applySelection(options, instance);
  return { failures: [...failures, ...(await readStanding(options))], excluded, refusal };
}

/** Whether the configured organizations were not listed, or not all of them looked up, on this UTC day. */
function isListStale(
  { listedAt, listedOrgIds, listProblem }: StoredInstance,
  { selection, now }: Discovering,
): boolean {
  if (listedAt === null || listProblem !== null || dayAt(Date.parse(listedAt)) < dayAt(now())) return true;
  if (listedOrgIds === null) return false;
  return selection.kind !== 'ids' || selection.orgIds.some((id) => !listedOrgIds.includes(id));
}

/**
 * `readStanding` returns the failures that every run reports until they are resolved: organizations that may be
 * missing or cannot be read.
 */
async function readStanding({ db, instanceId }: Discovering): Promise<DiscoveryFailure[]> {
  const problem = (await readInstance(db, instanceId))?.listProblem ?? null;
  const unreadable = await readUnreadable(db, instanceId);
  const message = `organizations may be missing: the list was not complete, ${problem}`;
  return [
    ...(problem === null ? [] : [{ orgId: null, code: 'list_incomplete', message } as const]),
    ...unreadable.map(({ orgId, problem: why }) => {
      return { orgId, code: 'org_unreadable', message: `attributes cannot be read: ${why}` } as const;
    }),
  ];
}

async function refreshUnlessKnown(
  options: Discovering,
  isStale: boolean,
): Promise<Omit<Discovery, 'excluded'>> {
  try {
    const { failures } = await refreshOrganizations(options, isStale);
    return { failures, refusal: null };
  } catch (error) {
    const mayGoOn = error instanceof LosantError && error.kind !== 'unauthorized';
    if (!mayGoOn || (await countOrganizations(options.db, options.instanceId)) === 0) throw error;
    const failure: DiscoveryFailure = { orgId: null, code: 'discovery_failed', message: error.message };
    return { failures: [failure], refusal: error.kind === 'forbidden' ? error : null };
  }
}

async function refreshOrganizations(options: Discovering, isStale: boolean): Promise<Refresh> {
  const { db, instanceId, selection, now } = options;
  if (selection.kind === 'ids') {
    const known = await filterKnown(db, instanceId, selection.orgIds);
    const wanted = isStale ? selection.orgIds : selection.orgIds.filter((id) => !known.has(id));
    const result = await refreshByIds(options, wanted, known);
    const at = new Date(now()).toISOString();
    const listed = { listed_at: at, listed_org_ids: [...selection.orgIds], list_problem: null };
    if (isStale) await updateInstance(db, instanceId, listed);
    return result;
  }
  return isStale ? await refreshByList(options) : { failures: [], removed: [] };
}

/**
 * Refreshes the organizations from Losant's list. The list counts only if it is complete by its own
 * account; otherwise the next run asks for it again.
 */
async function refreshByList(options: Discovering): Promise<Refresh> {
  const { client, instanceId, signal, now } = options;
  const startedAt = new Date(now()).toISOString();
  const pages = listOrgPages(client, { instanceId, signal });
  let gathered: OrgPage[] = [];
  const store = async () => {
    const items = gathered.flatMap((page) => page.items);
    const rejected = gathered.flatMap((page) => page.rejected);
    gathered = [];
    await storeListed(options, items, rejected);
  };
  for (;;) {
    // Organizations listed before a failure stay known.
    const step = await pages.next().catch(async (error: unknown) => {
      await store();
      throw error;
    });
    if (step.done || gathered.reduce((count, { items }) => count + items.length, 0) >= STORED_AT_ONCE) {
      await store();
    }
    if (step.done) return await judgeListing(options, step.value, startedAt);
    gathered.push(step.value);
  }
}

async function storeListed(
  { db, instanceId, now }: Discovering,
  organizations: readonly Organization[],
  rejected: OrgPage['rejected'],
): Promise<void> {
  const seenAt = new Date(now()).toISOString();
  await upsertOrganizations(db, { instanceId, organizations, seenAt });
  const unreadable = rejected.flatMap(({ orgId, problem }) => (orgId === null ? [] : [{ orgId, problem }]));
  await addUnreadable(db, { instanceId, unreadable, seenAt });
}

async function judgeListing(
  options: Discovering,
  listing: OrgListVerdict,
  startedAt: string,
): Promise<Refresh> {
  const { db, instanceId } = options;
  if (!listing.isComplete) {
    await updateInstance(db, instanceId, { list_problem: listing.reason ?? 'it is not complete' });
    return { failures: [], removed: [] };
  }
  await updateInstance(db, instanceId, { listed_at: startedAt, listed_org_ids: null, list_problem: null });
  const limit = (await removalsAllowed(options)) + 1;
  const unseen = await readUnseenOrganizations(db, { instanceId, since: startedAt, limit });
  return await confirmRemovals(options, unseen);
}

async function refreshByIds(
  options: Discovering,
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
      await addUnreadable(db, { instanceId, unreadable: [{ orgId, problem: found }], seenAt });
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

/**
 * `applySelection` begins and ends tracking to match the configuration. Returns the number of
 * organizations it leaves out.
 */
async function applySelection(options: Discovering, instance: StoredInstance): Promise<number> {
  const { db, instanceId, streams, selection, policy, now } = options;
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
    const selected = page.filter((org) => isSelected(selection, org));
    const others = page.filter((org) => !isSelected(selection, org));
    excluded += others.length;
    const begin = selected
      .filter(({ openStreams }) => !streams.every((each) => openStreams.includes(each)))
      .map(({ orgId }) => orgId);
    const end = others.filter(({ openStreams }) => openStreams.length > 0).map(({ orgId }) => orgId);
    // Mostly nothing begins and nothing ends.
    const horizon = horizonStart(now(), policy);
    if (begin.length > 0) await trackOrganizations(db, { orgIds: begin, streamsFrom, horizon });
    if (end.length > 0) await untrackOrganizations(db, end, lastDay);
  }
}

/** The most removals believed in one run: a wrong token or a broken list looks the same as more of them. */
const REMOVALS_MAX = 1;
const REMOVALS_SHARE_MAX = 0.05;

async function removalsAllowed({ db, instanceId }: Discovering): Promise<number> {
  return Math.max(REMOVALS_MAX, Math.floor((await countOrganizations(db, instanceId)) * REMOVALS_SHARE_MAX));
}

/**
 * `lookUpOrg` returns the organization, `unknown` for a 404, or the reason why it cannot be read. Does not throw
 * for these, because one organization's failure must stop no other.
 */
async function lookUpOrg(
  { client, instanceId, signal }: Discovering,
  orgId: string,
): Promise<Organization | string> {
  try {
    return (await getOrg(client, { instanceId, orgId, signal })).organization;
  } catch (error) {
    if (!(error instanceof LosantError) || error.kind === 'unauthorized') throw error;
    return error.kind === 'not_found' ? 'unknown' : error.message;
  }
}

/**
 * `confirmRemovals` marks organizations as removed that really are: Get organization answers 404, Get
 * instance does not, and a complete, non-empty list lacks them. Too many removals at once are refused.
 */
export async function confirmRemovals(options: Discovering, suspects: readonly string[]): Promise<Refresh> {
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

/** `findUnlisted` returns the ids that a complete list lacks; none if the instance or its list cannot be read. */
async function findUnlisted(options: Discovering, orgIds: readonly string[]): Promise<string[]> {
  const { client, instanceId, signal } = options;
  try {
    await getInstance(client, { instanceId, signal });
    const unlisted = new Set(orgIds);
    const pages = listOrgPages(client, { instanceId, signal });
    for (;;) {
      const step = await pages.next();
      if (step.done) return step.value.isComplete && step.value.listed > 0 ? [...unlisted] : [];
      for (const { orgId } of [...step.value.items, ...step.value.rejected]) unlisted.delete(orgId ?? '');
    }
  } catch (error) {
    if (error instanceof LosantError && error.kind !== 'unauthorized') return [];
    throw error;
  }
}
