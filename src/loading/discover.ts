import { transform } from 'streaming-iterables';
import { LosantError } from '../errors.ts';
import { readInstance, type StoredInstance, updateInstance } from '../ledger/instances.ts';
import {
  countUnlistedDay,
  markDeleted,
  readOrgIds,
  readUnreadable,
  upsertOrganizations,
} from '../ledger/organizations.ts';
import { listOrgPages, type OrgPage } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { dayAt } from '../usage/day.ts';
import type { InstanceContext } from './context.ts';
import type { Failure } from './report.ts';
import type { Session } from './session.ts';

/** The instance, and the session of its run. */
type Discovering = InstanceContext & Pick<Session, 'signal' | 'ledger'>;

/** An organization that could not be discovered; null: any number of them. */
export type DiscoveryFailure = Pick<Failure, 'orgId' | 'code' | 'message'>;

export interface Discovery {
  readonly failures: readonly DiscoveryFailure[];
  /** Losant's refusal of the scope to list organizations; known organizations are exported nevertheless. */
  readonly refusal: LosantError | null;
}

/**
 * Brings the organizations up to date. A list that was complete is not read again on its UTC day, unless `readsAnew`,
 * or a configured organization is not known. If Losant does not answer, the export continues with the organizations
 * that are known. Throws LosantError for a refused token, and if no organization is known.
 */
export async function discover(
  { context, signal, ledger }: Pick<Session, 'context' | 'signal' | 'ledger'>,
  { forceRefresh: readsAnew }: { readonly forceRefresh: boolean },
): Promise<Discovery> {
  const d = { ...context, signal, ledger };
  const isStale = readsAnew || (await isListStale(d));
  const { failures, refusal } = isStale ? await refreshIfPossible(d) : { failures: [], refusal: null };
  return { failures: [...failures, ...(await readOpenProblems(d, failures))], refusal };
}

/** Whether the organizations were not listed completely on this UTC day. */
async function isListStale(d: Discovering): Promise<boolean> {
  const { listedAt, listProblem, newOrgsFrom } = await instanceOf(d);
  if (listedAt === null || listProblem !== null || dayAt(Date.parse(listedAt)) < dayAt(d.now())) return true;
  return (d.selection === null) !== (newOrgsFrom !== null) || (await readUnknown(d)).length > 0;
}

async function instanceOf({ db, instanceId }: Discovering): Promise<StoredInstance> {
  const instance = await readInstance(db, instanceId);
  if (!instance) throw new Error(`instance ${instanceId} is not registered`);
  return instance;
}

/** Returns the configured organizations that the instance is not known to have. */
async function readUnknown({ db, instanceId, selection }: Discovering): Promise<string[]> {
  if (selection === null) return [];
  const knownOrgIds = new Set(await readOrgIds(db, instanceId));
  return selection.filter((orgId) => !knownOrgIds.has(orgId));
}

/** Returns the failures that every run reports until they are resolved. */
async function readOpenProblems(
  d: Discovering,
  found: readonly DiscoveryFailure[],
): Promise<readonly DiscoveryFailure[]> {
  const { db, instanceId } = d;
  const { listProblem } = await instanceOf(d);
  const failures: DiscoveryFailure[] = [];
  if (listProblem !== null) {
    const message = `organizations may be missing, because the list was incomplete: ${listProblem}`;
    failures.push({ orgId: null, code: 'list_incomplete', message });
  }
  for (const orgId of listProblem === null ? await readUnknown(d) : []) {
    if (found.some((failure) => failure.orgId === orgId)) continue;
    const message = `organization ${orgId} is configured but does not exist in instance ${instanceId}`;
    failures.push({ orgId, code: 'org_unknown', message });
  }
  for (const { orgId, problem } of await readUnreadable(db, instanceId)) {
    failures.push({ orgId, code: 'org_unreadable', message: `attributes cannot be read: ${problem}` });
  }
  return failures;
}

async function refreshIfPossible(d: Discovering): Promise<Discovery> {
  try {
    return { failures: await refresh(d), refusal: null };
  } catch (error) {
    const mayGoOn = error instanceof LosantError && error.kind !== 'unauthorized';
    if (!mayGoOn || (await readOrgIds(d.db, d.instanceId)).length === 0) throw error;
    await updateInstance(d.ledger, { list_problem: error.message });
    return { failures: [], refusal: error.kind === 'forbidden' ? error : null };
  }
}

/**
 * Stores the organizations of Losant's list that are selected, a page at a time. The list counts only if it is complete
 * by its own account; otherwise the next run asks for it again.
 */
async function refresh(d: Discovering): Promise<readonly DiscoveryFailure[]> {
  const { db, ledger, client, instanceId, selection, signal } = d;
  const isSelected = ({ orgId }: { readonly orgId: string | null }) =>
    selection === null || selection.includes(orgId ?? '');
  const startedAt = new Date(d.now()).toISOString();
  const pages = listOrgPages(client, { instanceId, signal });
  const failures = new Map<string, DiscoveryFailure>();
  const store = async ({ items }: OrgPage) => {
    for (const { orgId, ownerId } of await upsertOrganizations(ledger, items.filter(isSelected))) {
      const message = `organization ${orgId} still belongs to instance ${ownerId}`;
      failures.set(orgId, { orgId, code: 'org_of_other_instance', message });
    }
  };
  let step = await pages.next();
  // The next pages are asked for while these are stored.
  while (!step.done) [step] = await Promise.all([pages.next(), store(step.value)]);
  const { reason, listed } = step.value;
  if (reason !== null) {
    await updateInstance(d.ledger, { list_problem: reason });
    return [...failures.values()];
  }
  await updateInstance(d.ledger, { listed_at: startedAt, list_problem: null });
  if (listed === 0) return [...failures.values()];
  const unlisted = await readOrgIds(db, instanceId, { unseenSince: startedAt });
  const refused = await detectDeletions(
    d,
    unlisted.filter((orgId) => isSelected({ orgId })),
  );
  return [...failures.values(), ...refused];
}

/** More deletions than this are not believed at once: a wrong token or a broken list looks just like them. */
const DELETIONS_MAX = 1;
const DELETIONS_SHARE_MAX = 0.05;
/** The number of days whose complete lists must lack organizations for more removals to be believed. */
const UNLISTED_DAYS_NEEDED = 3;

/**
 * Marks those organizations as removed that really are: a complete, non-empty list lacks them, Get organization answers
 * 404, and Get instance does not.
 */
async function detectDeletions(d: Discovering, orgIds: readonly string[]): Promise<DiscoveryFailure[]> {
  if (orgIds.length === 0) return [];
  const { db, ledger, client, instanceId, signal } = d;
  const today = dayAt(d.now());
  const days = await countUnlistedDay(ledger, { orgIds, today });
  const existing = (await readOrgIds(db, instanceId)).length;
  const allowed = Math.max(DELETIONS_MAX, Math.floor(existing * DELETIONS_SHARE_MAX));
  const isOld = (orgId: string) => (days.get(orgId) ?? 0) >= UNLISTED_DAYS_NEEDED;
  // One more than allowed is enough to know that there are too many.
  const candidates = [...orgIds.filter(isOld), ...orgIds.filter((id) => !isOld(id)).slice(0, allowed + 1)];
  const deletedIds: string[] = [];
  const lookUp = async (orgId: string) => ({ orgId, isUnknown: await isUnknown(d, orgId) });
  for await (const each of transform(d.concurrency, lookUp, candidates)) {
    if (each.isUnknown) deletedIds.push(each.orgId);
  }
  if (deletedIds.length === 0) return [];
  await getInstance(client, { instanceId, signal });
  const removed = deletedIds.length <= allowed ? deletedIds : deletedIds.filter(isOld);
  if (removed.length > 0) await markDeleted(ledger, { orgIds: removed, today });
  if (removed.length === deletedIds.length) return [];
  const many = `at least ${deletedIds.length - removed.length} organizations appear to have been deleted at once`;
  const rule = `more than ${allowed} at a time are confirmed only after ${UNLISTED_DAYS_NEEDED} days of complete lists without them`;
  return [{ orgId: null, code: 'deletions_not_confirmed', message: `${many}: ${rule}` }];
}

/** Whether Get organization answers 404. One organization's failure must stop no other. */
async function isUnknown({ client, instanceId, signal }: Discovering, orgId: string): Promise<boolean> {
  try {
    await getOrg(client, { instanceId, orgId, signal });
    return false;
  } catch (error) {
    if (!(error instanceof LosantError) || error.kind === 'unauthorized') throw error;
    return error.kind === 'not_found';
  }
}
