/** What pages count over all organizations. Counting many takes seconds, so each count is read in the background. */
import { type Kysely, sql } from 'kysely';
import type { MonthState, Schema } from '../database/schema.ts';
import { readUsageTotals, type TotalsQuery, type UsageTotals } from '../queries/usage-totals.ts';
import type { UsageDay } from '../usage/day.ts';
import { type CachedRead, cacheRead } from './cached-reads.ts';
import { type PageSources, selectInstanceName } from './sources.ts';

/** Returns what is known of a count. Waits at most `waitMs` for a newer result. */
type Count<T> = (waitMs?: number) => Promise<CachedRead<T>>;

/** The counts, each with its own state: one that is slow or fails keeps back no other. */
export interface Counts {
  readonly activity: Count<readonly Activity[]>;
  readonly months: Count<readonly MonthRow[]>;
  /** The sums over all organizations by day. */
  readonly totals: (query: TotalsQuery) => Promise<CachedRead<UsageTotals>>;
  /** Returns what is known of another slow query, which is shared by what it depends on. */
  readonly recallResult: <T>(key: unknown, query: (db: Kysely<Schema>) => Promise<T>) => Promise<CachedRead<T>>;
}

/** Pages hardly wait for a count: they say that it is being read, and reload. */
const COUNT_READ = { keepMs: 60_000, timeoutMs: 50 };

/** Results of other queries that are kept at once. */
const MAX_RESULTS = 50;

export function createCounts({ readInTurn, instanceIds, now, logger }: PageSources): Counts {
  const cache = <T>(subject: string, read: (db: Kysely<Schema>) => Promise<T>): Count<T> =>
    cacheRead(() => readInTurn(read), {
      ...COUNT_READ,
      now,
      onFailure: (error) => logger.warn({ err: error, subject }, 'count failed'),
    });
  const results = new Map<string, unknown>();
  const recallResult = async <T>(key: unknown, query: (db: Kysely<Schema>) => Promise<T>) => {
    const name = JSON.stringify(key);
    const result = (results.get(name) as Count<T> | undefined) ?? cache(name, query);
    results.set(name, result);
    const [oldest = ''] = results.keys();
    if (results.size > MAX_RESULTS) results.delete(oldest);
    return await result();
  };
  return {
    recallResult,
    totals: ({ metric, range, comparison }) =>
      recallResult(['totals', metric, range, comparison], (db) =>
        readUsageTotals(db, { metric, range, comparison }, instanceIds),
      ),
    months: cache('months', (db) => readMonths(db, instanceIds)),
    activity: cache('activity', (db) => readActivity(db, instanceIds)),
  };
}

/** The recent activity of an organization, with all its limits. */
export type Activity = {
  readonly org_id: string;
  readonly payload_billable_count: number | null;
  readonly days_not_stored: number | null;
  /** The change of the month to date against the same days 28 days earlier: 0.5 is half as much again. */
  readonly change_ratio: number | null;
  readonly devices_total: number | null;
  readonly last_active_on: UsageDay | null;
  readonly is_new: boolean;
  readonly is_recently_deleted: boolean;
  readonly is_silent: boolean;
  readonly has_large_change: boolean;
  /** The largest share of a limit. */
  readonly limit_share: number | null;
  /** Each limit that is exceeded or will be, with the day. */
  readonly limits_to_watch: string | null;
  readonly exceeds_on: UsageDay | null;
  readonly is_exceeding: boolean;
};

async function readActivity(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<readonly Activity[]> {
  const { rows } = await sql<Activity>`
    select a.org_id, a.payload_billable_count, a.days_not_stored, a.change_ratio::float8, a.devices_total,
      a.last_active_on, a.is_new, a.is_recently_deleted, a.is_silent, a.has_large_change, l.limit_share,
      l.limits_to_watch, l.exceeds_on, coalesce(l.is_exceeding, false) as is_exceeding
    from losant_usage.organization_activity a
    left join (
      select u.org_id, max(u.share)::float8 as limit_share, min(u.exceeds_on) as exceeds_on,
        bool_or(u.is_exceeded) as is_exceeding,
        string_agg(
          concat(u.limit_name, ' ', coalesce('on ' || to_char(u.exceeds_on::timestamp, 'FMDD Mon'), 'exceeded')),
          ', ' order by u.is_exceeded desc, u.exceeds_on, u.limit_name)
          filter (where u.is_exceeded or u.exceeds_on is not null) as limits_to_watch
      from losant_usage.usage_vs_limits u where u.metric is not null group by u.org_id
    ) as l on l.org_id = a.org_id
    where a.instance_id = any (${instanceIds}::text[])
    order by a.org_id`.execute(db);
  return rows;
}

/** A month of an instance. */
export type MonthRow = {
  readonly month: UsageDay;
  /** Null if there is only one instance. */
  readonly instance_name: string | null;
  readonly state: MonthState;
  readonly closed_at: string | null;
  /** How many organizations are ready: `58 of 59 ready`; null unless the month has ended and is not closed. */
  readonly readiness: string | null;
  /** The organizations that are most affected, and why. */
  readonly issues: string | null;
  /** Billable payloads of the organizations that are not ready. */
  readonly payloads_on_hold: number | null;
  /** Billable payloads now, minus those billed. */
  readonly difference: number | null;
};

/** Returns the newest month first. */
async function readMonths(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<readonly MonthRow[]> {
  const { rows } = await sql<MonthRow>`
    select m.month, ${selectInstanceName(instanceIds)},
      m.state, m.closed_at, m.readiness, m.issues, m.payloads_on_hold, m.difference
    from losant_usage_internal.month_summaries m
    join losant_usage.instances i on i.instance_id = m.instance_id
    where m.instance_id = any (${instanceIds}::text[])
    order by m.month desc, m.instance_id`.execute(db);
  return rows;
}
