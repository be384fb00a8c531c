import { collect, transform } from 'streaming-iterables';
import { LosantError } from '../errors.ts';
import { readInstance, updateInstance } from '../ledger/instance.ts';
import {
  countUnlistedDay,
  markDeleted,
  readOrgIds,
  readUnreadableOrgs,
  upsertOrganizations,
} from '../ledger/organizations.ts';
import { getInstance, getOrg } from '../losant/endpoints.ts';
import { listOrgPages, type OrgPage } from '../losant/org-list.ts';
import { dayAt } from '../usage/day.ts';
import type { RunContext } from './context.ts';
import type { RunFailure } from './report.ts';
import type { Session } from './session.ts';

type DiscoveryContext = RunContext & Pick<Session, 'signal' | 'ledger'>;

export type DiscoveryFailure = Pick<RunFailure, 'orgId' | 'code' | 'message'>;

/**
 * Updates the organizations from Losant's list. A complete list is read once per UTC day, unless `forceRefresh` is set
 * or a configured organization is unknown. If the list cannot be read, the run continues with the stored organizations.
 * Throws LosantError for a rejected token, or if no organization is stored.
 */
export async function discoverOrganizations(
  session: Pick<Session, 'context' | 'signal' | 'ledger'>,
  { forceRefresh }: { forceRefresh: boolean },
) {
  const context = { ...session.context, signal: session.signal, ledger: session.ledger };
  const isStale = forceRefresh || (await isListStale(context));
  const { failures, rejection } = isStale ? await refreshIfPossible(context) : { failures: [], rejection: null };
  return { failures: [...failures, ...(await readOpenProblems(context))], rejection, isRefreshed: isStale };
}

/** Whether the organizations have not been listed completely on this UTC day, or the selection has changed. */
async function isListStale(context: DiscoveryContext): Promise<boolean> {
  const { selection, now } = context;
  const { listedAt, listProblem, newOrgsFrom } = await getStoredInstance(context);
  if (listedAt === null || listProblem !== null || dayAt(Date.parse(listedAt)) < dayAt(now())) return true;
  return (selection === null) !== (newOrgsFrom !== null) || (await readUnknownOrgIds(context)).length > 0;
}

async function getStoredInstance({ db }: DiscoveryContext) {
  const instance = await readInstance(db);
  if (!instance) throw new Error('the instance is not recorded');
  return instance;
}

/** Returns the configured organizations that are not stored. A deleted one is: nothing is missing. */
async function readUnknownOrgIds({ db, selection }: DiscoveryContext): Promise<string[]> {
  if (selection === null) return [];
  const storedOrgIds = new Set(await readOrgIds(db, { includesDeleted: true }));
  return selection.filter((orgId) => !storedOrgIds.has(orgId));
}

/** Returns the failures that every run reports until they are resolved. */
async function readOpenProblems(context: DiscoveryContext) {
  const { listProblem } = await getStoredInstance(context);
  const failures: DiscoveryFailure[] = [];
  if (listProblem !== null) {
    const message = `organizations may be missing, because the list was incomplete: ${listProblem}`;
    failures.push({ orgId: null, code: 'list_incomplete', message });
  }
  for (const orgId of listProblem === null ? await readUnknownOrgIds(context) : []) {
    const message = `organization ${orgId} is configured but does not exist in the instance`;
    failures.push({ orgId, code: 'org_unknown', message });
  }
  for (const { orgId, problem } of await readUnreadableOrgs(context.db)) {
    failures.push({
      orgId,
      code: 'org_unreadable',
      message: `attributes of organization ${orgId} cannot be read: ${problem}`,
    });
  }
  return failures;
}

/** Returns with the failures Losant's rejection of the scope to list organizations; stored ones are loaded anyway. */
async function refreshIfPossible(context: DiscoveryContext) {
  try {
    return { failures: await refreshOrganizations(context), rejection: null };
  } catch (error) {
    const canContinue = error instanceof LosantError && error.kind !== 'unauthorized';
    if (!canContinue || (await readOrgIds(context.db)).length === 0) throw error;
    await updateInstance(context.ledger, { list_problem: error.message });
    return { failures: [], rejection: error.kind === 'forbidden' ? error : null };
  }
}

/**
 * Stores Losant's list by page. One that is not complete by its own totalCount is read again by the next run. Stored
 * organizations that are no longer selected are updated too: their last days are still read and billed, and the reads
 * would fail until the horizon if a deletion were not noticed.
 */
async function refreshOrganizations(context: DiscoveryContext): Promise<readonly DiscoveryFailure[]> {
  const { db, ledger, client, selection, signal, now } = context;
  const knownIds = selection && new Set([...selection, ...(await readOrgIds(db, { includesDeleted: true }))]);
  const isKnown = ({ orgId }: { orgId: string | null }) => knownIds?.has(orgId ?? '') ?? true;
  const startedAt = new Date(now()).toISOString();
  const pages = listOrgPages(client, { signal });
  const store = ({ items }: OrgPage) => upsertOrganizations(ledger, items.filter(isKnown));
  let step = await pages.next();
  // A token without the scope for the instance itself confirms it by its list.
  if (step.done !== true && (await getStoredInstance(context)).apiUrl === null)
    await updateInstance(ledger, { api_url: context.config.apiUrl });
  // The next page is requested while this one is stored.
  while (!step.done) [step] = await Promise.all([pages.next(), store(step.value)]);
  const { reason, listedOrgs } = step.value;
  if (reason !== null) {
    await updateInstance(ledger, { list_problem: reason });
    return [];
  }
  await updateInstance(ledger, { listed_at: startedAt, list_problem: null });
  if (listedOrgs === 0) return [];
  return await detectDeletions(context, await readOrgIds(db, { unseenSince: startedAt }));
}

/** More deletions than this are not confirmed at once: a wrong token or a broken list looks just like them. */
const DELETIONS_MAX = 1;
const DELETIONS_SHARE_MAX = 0.05;
/** More deletions are confirmed once complete lists of this many days have lacked the organizations. */
const UNLISTED_DAYS_NEEDED = 3;

/**
 * Believing a false deletion gives up days that could still be read; missing a true one costs a few failed requests. A
 * truncated list, a token of the wrong instance and an outage all look like deletions. So three things must agree: a
 * list that is complete by its own totalCount lacks the organization, a lookup by ID returns 404, and the same token
 * can still read the instance. Even then a run accepts one organization, or 5% of them; more than that are accepted
 * only once complete lists of three days have lacked them. If a deleted organization is listed again, it is restored
 * and all of its cells inside the horizon are due.
 */
async function detectDeletions(context: DiscoveryContext, unlistedIds: readonly string[]): Promise<DiscoveryFailure[]> {
  if (unlistedIds.length === 0) return [];
  const { db, ledger, client, signal, concurrency, now } = context;
  const today = dayAt(now());
  const unlistedDays = await countUnlistedDay(ledger, { orgIds: unlistedIds, today });
  const existing = (await readOrgIds(db)).length;
  const allowed = Math.max(DELETIONS_MAX, Math.floor(existing * DELETIONS_SHARE_MAX));
  const isLongUnlisted = (orgId: string) => (unlistedDays.get(orgId) ?? 0) >= UNLISTED_DAYS_NEEDED;
  // One more than allowed is enough to know that there are too many.
  const recentIds = unlistedIds.filter((id) => !isLongUnlisted(id)).slice(0, allowed + 1);
  const candidates = [...unlistedIds.filter(isLongUnlisted), ...recentIds];
  const lookUp = async (orgId: string) => ((await isOrgNotFound(context, orgId)) ? [orgId] : []);
  const deletedIds = (await collect(transform(concurrency, lookUp, candidates))).flat();
  if (deletedIds.length === 0) return [];
  await getInstance(client, signal);
  const confirmedIds = deletedIds.length <= allowed ? deletedIds : deletedIds.filter(isLongUnlisted);
  if (confirmedIds.length > 0) await markDeleted(ledger, { orgIds: confirmedIds, today });
  if (confirmedIds.length === deletedIds.length) return [];
  const problem = `at least ${deletedIds.length} organizations appear to have been deleted at once`;
  const days = `${UNLISTED_DAYS_NEEDED} days of complete lists without them`;
  const rule = `more than ${allowed} at a time are confirmed only after ${days}`;
  return [{ orgId: null, code: 'deletions_not_confirmed', message: `${problem}: ${rule}` }];
}

/** Whether Get organization returns 404. Another failure of one lookup must not stop the others. */
async function isOrgNotFound({ client, signal }: DiscoveryContext, orgId: string): Promise<boolean> {
  try {
    await getOrg(client, orgId, signal);
    return false;
  } catch (error) {
    if (!(error instanceof LosantError) || error.kind === 'unauthorized') throw error;
    return error.kind === 'not_found';
  }
}
