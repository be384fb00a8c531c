import { type RawBuilder, sql } from 'kysely';
import { isAmong } from '../database/expressions.ts';
import { isUndefined } from '../database/sqlstate.ts';
import { isMadeDue, isRetried } from '../ledger/due.ts';
import { readInstance } from '../ledger/instance.ts';
import { findUntracked, selectAddedDays, toUntrackedError, type UntrackedPair } from '../ledger/tracks.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { countDays, earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay } from '../usage/policy.ts';
import { getStream, streamNames } from '../usage/streams/catalog.ts';
import type { RunContext, RunOptions } from './context.ts';

/** What runs will read. */
export interface PlanPart {
  /** The oldest and the newest day; null if there is nothing to read. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly orgs: number;
  readonly cells: number;
  /** An estimate, without retries and discovery. */
  readonly requests: number;
}

export interface PlanSummary extends PlanPart {
  /** The days between the range of a backfill and the days tracked so far, which the next runs read. */
  readonly between: PlanPart;
  /** The number of days of the range that are skipped because they are past the horizon. */
  readonly pastHorizon: number;
  /** What the command names and what was never tracked. */
  readonly untracked: readonly UntrackedPair[];
}

type PreviewOptions = Pick<RunOptions, 'kind' | 'orgIds' | 'streams' | 'range' | 'force' | 'signal'>;

/** Reads only. A database into which nothing was listed is planned from Losant's list, like its first run. */
export async function previewRun(context: RunContext, options: PreviewOptions): Promise<PlanSummary> {
  const { policy, now } = context;
  const { range } = options;
  const isFirstRun = !(await isListed(context));
  const untracked = isFirstRun ? [] : await findUntracked(context, options);
  const cells = isFirstRun ? await selectListedCells(context, options) : selectRunCells(context, options);
  const isRequested =
    options.kind !== 'backfill' || range === null
      ? sql`true`
      : sql`(not c.is_added or c.day between ${range.from}::date and ${range.to}::date)`;
  const requested = await countRequests(context, sql`select * from (${cells}) as c where ${isRequested}`);
  const between = await countRequests(context, sql`select * from (${cells}) as c where not ${isRequested}`);
  const daysPastHorizon = range === null ? 0 : countDays(range.from, horizonStart(now(), policy));
  const days = range === null ? 0 : countDays(range.from, range.to) + 1;
  return { ...requested, between, pastHorizon: Math.max(0, Math.min(daysPastHorizon, days)), untracked };
}

/** Returns what a backfill leaves to the next runs, because it is outside its range; null if there is nothing. */
export async function readBetween(
  context: RunContext,
  { orgIds, streams, range }: Pick<RunOptions, 'orgIds' | 'streams' | 'range'>,
): Promise<PlanPart | null> {
  if (range === null) return null;
  const cells = sql`
    select c.org_id, c.stream, c.usage_date as day from losant_usage.cells c
    where c.last_attempt_at is null and c.next_read_at > ${new Date(context.now()).toISOString()}::timestamptz
      and c.usage_date not between ${range.from}::date and ${range.to}::date
      and ${isAmong('c.org_id', orgIds)} and ${isAmong('c.stream', streams)}`;
  const between = await countRequests(context, cells);
  return between.cells > 0 ? between : null;
}

async function countRequests({ db }: RunContext, cells: RawBuilder<unknown>): Promise<PlanPart> {
  const streams = streamNames.map(getStream);
  const columns = sql`${streamNames}::text[], ${streams.map(({ maxDays }) => maxDays)}::integer[],
    ${streams.map(({ requests }) => requests.length)}::integer[]`;
  const { rows } = await sql<PlanPart>`
    with w as (
      select c.org_id, c.stream, c.day, s.requests,
        (max(c.day) over (partition by c.org_id, c.stream) - c.day) / s.window_days as slice
      from (${cells}) as c
      join unnest(${columns}) as s (stream, window_days, requests) on s.stream = c.stream
    )
    select min(w.day) as "from", max(w.day) as "to", count(distinct w.org_id) as orgs, count(*) as cells,
      coalesce((select sum(d.requests) from (
        select distinct w.org_id, w.stream, w.slice, w.requests from w) as d), 0)::bigint as requests
    from w`.execute(db);
  return rows[0] as PlanPart;
}

async function isListed({ db }: RunContext): Promise<boolean> {
  try {
    const { listedAt = null, listProblem = null } = (await readInstance(db)) ?? {};
    return listedAt !== null || listProblem !== null;
  } catch (error) {
    if (isUndefined(error)) return false;
    throw error;
  }
}

/** Returns a query for the cells that are due, or that the run would set due or create. */
function selectRunCells(
  { policy, now }: RunContext,
  { kind, range, orgIds, streams, force }: PreviewOptions,
): RawBuilder<unknown> {
  const nowMs = now();
  const at = new Date(nowMs).toISOString();
  const [yesterday, horizon] = [lastEndedDay(nowMs), horizonStart(nowMs, policy)];
  const isBackfill = kind === 'backfill';
  const [from, to] = [range?.from ?? null, range?.to ?? null];
  const addedRange = { from: latestDay(from, horizon), to: earliestDay(to, yesterday) };
  const addsDays = isBackfill && addedRange.from <= addedRange.to;
  return sql`
    select w.org_id, w.stream, w.usage_date as day, w.is_added
    from (
      select c.org_id, c.stream, c.usage_date, false as is_added from losant_usage.cells c
      where c.next_read_at <= ${at}::timestamptz
        or (${kind === 'manual' && range === null}::boolean and ${isRetried(at)})
        or (c.usage_date between ${from}::date and ${to}::date and ${isMadeDue(force || !isBackfill, at)})
      union all
      select n.org_id, n.stream, day::date, true
      from (${selectAddedDays(addedRange, sql`${addsDays}::boolean`)}) as n
      cross join lateral generate_series(n.first_day::timestamp, n.last_day::timestamp, interval '1 day') as day
    ) as w
    join losant_usage.organizations o on o.org_id = w.org_id
    where o.deleted_on is null and w.usage_date >= ${horizon}::date
      and ${isAmong('w.org_id', orgIds)} and ${isAmong('w.stream', streams)}
      and (${isBackfill || range === null}::boolean or w.usage_date between ${from}::date and ${to}::date)`;
}

/**
 * Returns a query, of no table, for the cells that a first run would create from Losant's list and read. Its tracks
 * begin with yesterday; a backfill adds the days of its range that Losant retains, and those up to yesterday.
 */
async function selectListedCells(
  { client, selection, streams, policy, now }: RunContext,
  { kind, orgIds, streams: requestedStreams, range, signal }: PreviewOptions,
): Promise<RawBuilder<unknown>> {
  const [yesterday, horizon] = [lastEndedDay(now()), horizonStart(now(), policy)];
  const isBackfill = kind === 'backfill' && range !== null;
  const from = isBackfill && range.to >= horizon ? range.from : yesterday;
  const to = isBackfill ? yesterday : (range?.to ?? yesterday);
  const firstDays = new Map<string, UsageDay>();
  for await (const { items } of listOrgPages(client, { signal })) {
    for (const item of items) {
      const createdOn = 'problem' in item ? null : item.createdOn;
      if (item.orgId !== null) firstDays.set(item.orgId, latestDay(from, createdOn, horizon));
    }
  }
  const unlistedOrgId = orgIds?.find((orgId) => !firstDays.has(orgId));
  if (unlistedOrgId !== undefined) throw toUntrackedError(`--org ${unlistedOrgId}`);
  const orgs = [...firstDays]
    .filter(([orgId]) => selection?.includes(orgId) ?? true)
    .filter(([orgId]) => orgIds?.includes(orgId) ?? true);
  return sql`
    select o.org_id, s.stream, day::date, day::date < ${yesterday}::date as is_added
    from unnest(${orgs.map(([id]) => id)}::text[], ${orgs.map(([, day]) => day)}::date[]) as o (org_id, first_day)
    cross join unnest(${streams.filter((stream) => requestedStreams?.includes(stream) ?? true)}::text[]) as s (stream)
    cross join generate_series(o.first_day::timestamp, ${to}::timestamp, interval '1 day') as day`;
}
