import { transform } from 'streaming-iterables';
import { LosantError } from '../errors.ts';
import { readInstance, type StoredInstance, updateInstance } from '../ledger/instances.ts';
import {
  markRemoved,
  noteUnlisted,
  readOrgIds,
  readUnreadable,
  type SeenOrgs,
  upsertOrganizations,
} from '../ledger/organizations.ts';
import { listOrgPages, type OrgListVerdict, type OrgPage } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { dayAt } from '../usage/day.ts';
import type { Organization } from '../usage/organization.ts';
import type { InstanceContext } from './context.ts';
import type { Session } from './session.ts';

/** An instance, and the session of the run. */
interface Discovering extends InstanceContext, Pick<Session, 'signal' | 'write'> {}

/** An organization that could not be discovered; null: any number of them. */
export interface DiscoveryFailure {
  readonly orgId: string | null;
  readonly code:
    | 'org_unknown'
    | 'org_unreadable'
    | 'org_of_other_instance'
    | 'removals_refused'
    | 'list_incomplete';
  readonly message: string;
}

interface Discovery {
  readonly failures: readonly DiscoveryFailure[];
  /** Losant's refusal of the scope to list organizations; known organizations are exported nevertheless. */
  readonly refusal: LosantError | null;
}

/** The number of listed organizations that one transaction stores. */
const STORED_AT_ONCE = 1_000;

/**
 * Brings the organizations up to date. A list that was complete is not read again on its UTC day, unless `readsAnew`.
 * If Losant does not answer, the export continues with the organizations that are known. Throws LosantError for a
 * refused token, and if no organization is known.
 */
export async function discover(
  d: Discovering,
  { readsAnew }: { readonly readsAnew: boolean },
): Promise<Discovery> {
  const instance = await readInstance(d.db, d.instanceId);
  if (!instance) throw new Error(`instance ${d.instanceId} is not registered`);
  const isStale = readsAnew || isListStale(instance, d);
  const refreshed = await refreshIfPossible(d, isStale);
  return { ...refreshed, failures: [...refreshed.failures, ...(await readStanding(d))] };
}

/** Whether the organizations were not listed completely, or not all of those configured looked up, on this UTC day. */
function isListStale(
  { listedAt, listProblem, allFrom }: StoredInstance,
  { selection, now }: Discovering,
): boolean {
  if (listedAt === null || listProblem !== null || dayAt(Date.parse(listedAt)) < dayAt(now())) return true;
  return (selection.kind === 'all') !== (allFrom !== null);
}

/** Returns the failures that every run reports until they are resolved. */
async function readStanding({ db, instanceId }: Discovering): Promise<DiscoveryFailure[]> {
  const problem = (await readInstance(db, instanceId))?.listProblem ?? null;
  const failures: DiscoveryFailure[] = [];
  if (problem !== null) {
    const message = `organizations may be missing: the list was not complete, ${problem}`;
    failures.push({ orgId: null, code: 'list_incomplete', message });
  }
  for (const { orgId, problem: why } of await readUnreadable(db, instanceId)) {
    failures.push({ orgId, code: 'org_unreadable', message: `attributes cannot be read: ${why}` });
  }
  return failures;
}

async function refreshIfPossible(d: Discovering, isStale: boolean): Promise<Discovery> {
  try {
    const { selection } = d;
    if (selection.kind === 'ids')
      return { failures: await refreshByIds(d, selection.orgIds, isStale), refusal: null };
    return { failures: isStale ? await refreshByList(d) : [], refusal: null };
  } catch (error) {
    const mayGoOn = error instanceof LosantError && error.kind !== 'unauthorized';
    if (!mayGoOn || (await readOrgIds(d.db, d.instanceId)).length === 0) throw error;
    await note(d, { list_problem: error.message });
    return { failures: [], refusal: error.kind === 'forbidden' ? error : null };
  }
}

/**
 * Refreshes the organizations from Losant's list. The list counts only if it is complete by its own account; otherwise
 * the next run asks for it again.
 */
async function refreshByList(d: Discovering): Promise<DiscoveryFailure[]> {
  const startedAt = new Date(d.now()).toISOString();
  const pages = listOrgPages(d.client, { instanceId: d.instanceId, signal: d.signal });
  const failures = new Map<string, DiscoveryFailure>();
  let gathered: OrgPage[] = [];
  const store = async () => {
    const organizations = gathered.flatMap(({ items }) => items);
    const rejected = gathered.flatMap((page) => page.rejected);
    gathered = [];
    const unreadable = rejected.flatMap(({ orgId, problem }) => (orgId === null ? [] : [{ orgId, problem }]));
    for (const failure of await storeSeen(d, { organizations, unreadable })) {
      failures.set(failure.orgId ?? '', failure);
    }
  };
  for (;;) {
    // Organizations listed before a failure stay known.
    const step = await pages.next().catch(async (error: unknown) => {
      await store();
      throw error;
    });
    const isFull = gathered.reduce((count, { items }) => count + items.length, 0) >= STORED_AT_ONCE;
    if (step.done || isFull) await store();
    if (step.done) return [...failures.values(), ...(await judgeListing(d, step.value, startedAt))];
    gathered.push(step.value);
  }
}

async function judgeListing(
  d: Discovering,
  { isComplete, reason, listed }: OrgListVerdict,
  startedAt: string,
): Promise<readonly DiscoveryFailure[]> {
  if (!isComplete) {
    await note(d, { list_problem: reason ?? 'it is not complete' });
    return [];
  }
  await note(d, { listed_at: startedAt, list_problem: null });
  const unseen = await readOrgIds(d.db, d.instanceId, { unseenSince: startedAt });
  return listed === 0 ? [] : (await confirmUnlisted(d, unseen)).failures;
}

async function refreshByIds(
  d: Discovering,
  orgIds: readonly string[],
  isStale: boolean,
): Promise<DiscoveryFailure[]> {
  const known = new Set(await readOrgIds(d.db, d.instanceId));
  const wanted = isStale ? orgIds : orgIds.filter((id) => !known.has(id));
  const startedAt = new Date(d.now()).toISOString();
  const failures: DiscoveryFailure[] = [];
  const gone: string[] = [];
  const lookUp = async (orgId: string) => ({ orgId, found: await lookUpOrg(d, orgId) });
  for await (const { orgId, found } of transform(d.concurrency, lookUp, wanted)) {
    if (found === 'unknown') {
      if (known.has(orgId)) gone.push(orgId);
      else failures.push(unknownOrg(d, orgId));
    } else if (typeof found === 'string') {
      failures.push(...(await storeSeen(d, { organizations: [], unreadable: [{ orgId, problem: found }] })));
    } else {
      failures.push(...(await storeSeen(d, { organizations: [found], unreadable: [] })));
    }
  }
  if (isStale) await note(d, { listed_at: startedAt, list_problem: null });
  const { removed, failures: refused } = await confirmRemovals(d, gone);
  const unknown = gone.filter((orgId) => !removed.includes(orgId)).map((orgId) => unknownOrg(d, orgId));
  return [...failures, ...unknown, ...refused];
}

function unknownOrg({ instanceId }: Discovering, orgId: string): DiscoveryFailure {
  const message = `organization ${orgId} is configured, but instance ${instanceId} does not know it`;
  return { orgId, code: 'org_unknown', message };
}

async function storeSeen(
  { db, write, instanceId, policy, now }: Discovering,
  seen: Pick<SeenOrgs, 'organizations' | 'unreadable'>,
): Promise<DiscoveryFailure[]> {
  const foreign = await upsertOrganizations(db, write, { instanceId, policy, nowMs: now(), ...seen });
  return foreign.map(({ orgId, ownerId }) => {
    const message = `organization ${orgId} belongs to instance ${ownerId}, which has not lost it yet`;
    return { orgId, code: 'org_of_other_instance', message };
  });
}

async function note(
  { db, write, instanceId }: Discovering,
  changes: Parameters<typeof updateInstance>[2]['changes'],
): Promise<void> {
  await updateInstance(db, write, { instanceId, changes });
}

/**
 * Returns the organization, `unknown` for a 404, or the reason why it cannot be read. Does not throw for these, because
 * one organization's failure must stop no other.
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

/** The most removals believed in one run: a wrong token or a broken list looks the same as more of them. */
const REMOVALS_MAX = 1;
const REMOVALS_SHARE_MAX = 0.05;
/** The number of days whose complete lists must lack organizations for more removals to be believed. */
const UNLISTED_DAYS_NEEDED = 3;

interface Removals {
  readonly removed: readonly string[];
  readonly failures: readonly DiscoveryFailure[];
}

const NONE: Removals = { removed: [], failures: [] };

/**
 * Marks organizations as removed that really are: Get organization answers 404, Get instance does not, and a complete,
 * non-empty list lacks them.
 */
export async function confirmRemovals(d: Discovering, suspects: readonly string[]): Promise<Removals> {
  if (suspects.length === 0) return NONE;
  const unlisted = new Set(suspects);
  const pages = listOrgPages(d.client, { instanceId: d.instanceId, signal: d.signal });
  try {
    for (;;) {
      const step = await pages.next();
      if (step.done) {
        return step.value.isComplete && step.value.listed > 0
          ? await confirmUnlisted(d, [...unlisted])
          : NONE;
      }
      for (const { orgId } of [...step.value.items, ...step.value.rejected]) unlisted.delete(orgId ?? '');
    }
  } catch (error) {
    if (error instanceof LosantError && error.kind !== 'unauthorized') return NONE;
    throw error;
  }
}

/** Removes those organizations, which a complete list lacks, that Losant does not know either. */
async function confirmUnlisted(d: Discovering, orgIds: readonly string[]): Promise<Removals> {
  if (orgIds.length === 0) return NONE;
  const { db, write, client, instanceId, signal } = d;
  const today = dayAt(d.now());
  const days = await noteUnlisted(db, write, { orgIds, today });
  const existing = (await readOrgIds(db, instanceId)).length;
  const allowed = Math.max(REMOVALS_MAX, Math.floor(existing * REMOVALS_SHARE_MAX));
  const isOld = (orgId: string) => (days.get(orgId) ?? 0) >= UNLISTED_DAYS_NEEDED;
  // One more than is believed at once is enough to see that there are too many.
  const asked = [...orgIds.filter(isOld), ...orgIds.filter((id) => !isOld(id)).slice(0, allowed + 1)];
  const gone: string[] = [];
  const lookUp = async (orgId: string) => ({ orgId, found: await lookUpOrg(d, orgId) });
  for await (const { orgId, found } of transform(d.concurrency, lookUp, asked)) {
    if (found === 'unknown') gone.push(orgId);
  }
  if (gone.length === 0) return NONE;
  await getInstance(client, { instanceId, signal });
  const removed = gone.length <= allowed ? gone : gone.filter(isOld);
  if (removed.length > 0) await markRemoved(db, write, { orgIds: removed, today });
  if (removed.length === gone.length) return { removed, failures: [] };
  const many = `${gone.length - removed.length} or more organizations seem to be deleted at once`;
  const rule = `more than ${allowed} are believed when the lists of ${UNLISTED_DAYS_NEEDED} days lack them`;
  const message = `${many}: ${rule}`;
  return { removed, failures: [{ orgId: null, code: 'removals_refused', message }] };
}
