/**
 * Finds what is due, a page of organizations at a time: cells whose next read has come, and tracked
 * days without a row in coverage. Only SQL decides what is due; the plan only cuts it into slices.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { addDays, type DayRange, HOUR_MS, type UsageDay } from '../usage/day.ts';
import type { Shard } from '../usage/organization.ts';
import type { Ask, DueTrack } from '../usage/plan.ts';
import { lastCompleteDay, lastDueDay, type Policy, RETRY_HOURS_MAX } from '../usage/policy.ts';
import { isAfter } from './organizations.ts';

/** The part of an instance that is exported. */
export interface ExportScope {
  readonly instanceId: string;
  /** The streams; null for every tracked stream. */
  readonly streams: readonly string[] | null;
  /** The organizations; null for every tracked organization. */
  readonly orgIds: readonly string[] | null;
  /** The shard; null for all organizations. */
  readonly shard: Shard | null;
}

export interface DueOptions {
  readonly nowMs: number;
  readonly policy: Policy;
  readonly ask?: Ask | undefined;
  /** Whether failed cells are due before their retry time, because a person asked for a run. */
  readonly retriesFailed?: boolean | undefined;
  /** The time before which a cell was last asked for to be due; null or undefined for any. */
  readonly triedBeforeMs?: number | null | undefined;
}

/** The number of organizations on a page; small enough that a page's slices fit in a few megabytes. */
const ORGS_PER_PAGE = 100;
/** The number of rows examined for a page: an organization has some for the same time, one per stream. */
const ROWS_PER_PAGE = 1_000;

/**
 * `readDuePages` yields the tracks with something due in the scope, in the order of their organizations' ids, a page
 * at a time. They are read from the tables, never from Losant's list, so a list that shifts loses
 * nobody. This is the one place where work is divided between processes.
 */
export async function* readDuePages(
  db: Kysely<Schema>,
  scope: ExportScope,
  options: DueOptions,
): AsyncGenerator<DueTrack[]> {
  const { ask } = options;
  let afterOrgId = '';
  for (;;) {
    const orgIds = ask
      ? await readAskedOrgs(db, scope, afterOrgId)
      : await readDueOrgs(db, scope, { ...options, afterOrgId });
    const last = orgIds.at(-1);
    if (last === undefined) return;
    afterOrgId = last;
    yield ask
      ? await readAskedTracks(db, { orgIds, scope, ask, nowMs: options.nowMs })
      : await readDueTracks(db, { orgIds, scope, options });
  }
}

/**
 * Returns the query `name` for the distinct values of a column up to `last`, ending with null. It
 * leaps through the index.
 */
const leaps = (name: string, [table, column]: readonly [string, string], last: RawBuilder<unknown>) => {
  const [from, of] = [sql.table(`losant_usage.${table}`), sql.ref(column)];
  return sql`${sql.ref(name)} (${of}) as (
    (select c.${of} from ${from} c where c.${of} <= ${last} order by c.${of} limit 1)
    union all
    select (select c.${of} from ${from} c where c.${of} > l.${of} and c.${of} <= ${last} order by c.${of} limit 1)
    from ${sql.ref(name)} l where l.${of} is not null
  )`;
};

/** Returns the query for the times at which something was due or is retried. */
const dueTimes = ({ nowMs, retriesFailed = false }: DueOptions) => {
  const last = new Date(nowMs + (retriesFailed ? RETRY_HOURS_MAX * HOUR_MS : 0)).toISOString();
  return sql`with recursive ${leaps('due_at', ['coverage', 'next_read_at'], sql`${last}::timestamptz`)}`;
};

/** Returns the condition that a cell `c` with one of these times is due now. */
const isDueNow = ({ nowMs, triedBeforeMs = null }: DueOptions) => {
  const isDue = sql`(c.next_read_at <= ${new Date(nowMs).toISOString()}::timestamptz or c.attempts > 0)`;
  // The second condition is left out where nobody asks for it: it is judged for every cell of a day's checkpoints.
  if (triedBeforeMs === null) return isDue;
  return sql`${isDue} and (c.attempted_at is null or c.attempted_at < ${new Date(triedBeforeMs).toISOString()}::timestamptz)`;
};

const isNamed = (orgId: string, { orgIds }: ExportScope) =>
  sql`(${orgIds}::text[] is null or ${sql.ref(orgId)} = any (${orgIds}::text[]))`;

const isInShard = (orgId: string, { shard }: ExportScope) => sql`
  (${shard?.count ?? null}::integer is null
    or (hashtext(${sql.ref(orgId)}) & 2147483647) % ${shard?.count ?? null}::integer = ${shard?.index ?? null}::integer)`;

/** Returns the query for the days from which something is unread; it follows `dueTimes`. */
const unreadDays = (lastDay: UsageDay) =>
  sql`, ${leaps('unread_at', ['tracking', 'unread_from'], sql`${lastDay}::date`)}`;

/**
 * Returns the query for a page of organizations with something unread. It leaps from one to the next:
 * without statistics on the rows that a first run has just stored, Postgres would otherwise sort all
 * that are left, for each page.
 */
const unreadOrgs = (scope: ExportScope, afterOrgId: string, lastDay: UsageDay) => {
  const next = (after: RawBuilder<unknown>) => sql`(
    select k.org_id from losant_usage.tracking k
    where k.unread_from = u.unread_from and k.org_id > ${after} order by k.org_id limit 1)`;
  return sql`
    select found.org_id from unread_at u cross join lateral (
      with recursive leap (org_id) as (
        ${next(sql`${afterOrgId}`)}
        union all
        select ${next(sql.ref('l.org_id'))} from leap l where l.org_id is not null
      )
      select l.org_id from leap l
      where ${isNamed('l.org_id', scope)} and ${isInShard('l.org_id', scope)}
        and (select o.instance_id from losant_usage.organizations o where o.org_id = l.org_id) = ${scope.instanceId}
        and (${scope.streams}::text[] is null or exists (select from losant_usage.tracking k
          where k.org_id = l.org_id and k.unread_from <= ${lastDay}::date
            and k.stream = any (${scope.streams}::text[])))
      limit ${ORGS_PER_PAGE}
    ) as found`;
};

async function readDueOrgs(
  db: Kysely<Schema>,
  scope: ExportScope,
  { afterOrgId, ...options }: DueOptions & { afterOrgId: string },
): Promise<string[]> {
  const { instanceId, streams } = scope;
  const { nowMs, policy } = options;
  const lastDay = lastDueDay(nowMs, policy);
  const { rows } = await sql<{ org_id: string }>`
    ${dueTimes(options)}${unreadDays(lastDay)}
    select org_id from (
      select found.org_id from due_at d cross join lateral (
        select c.org_id from losant_usage.coverage c
        where c.next_read_at = d.next_read_at and c.org_id > ${afterOrgId} and ${isDueNow(options)}
          and ${isNamed('c.org_id', scope)} and ${isInShard('c.org_id', scope)}
          and (${streams}::text[] is null or c.stream = any (${streams}::text[]))
          and (select o.instance_id from losant_usage.organizations o where o.org_id = c.org_id) = ${instanceId}
        order by c.org_id limit ${ROWS_PER_PAGE}
      ) as found
      union
      ${unreadOrgs(scope, afterOrgId, lastDay)}
    ) as due
    order by org_id limit ${ORGS_PER_PAGE}`.execute(db);
  return rows.map(({ org_id }) => org_id);
}

/**
 * Whether anything may be due for any organization. Two index look-ups, so that a wake-up with nothing
 * to do costs nothing. A tracked day of a deleted organization may make it true in vain.
 */
export async function isAnythingDue(
  db: Kysely<Schema>,
  { nowMs, policy }: Pick<DueOptions, 'nowMs' | 'policy'>,
): Promise<boolean> {
  const due = db
    .selectFrom('coverage')
    .select('org_id')
    .where('next_read_at', '<=', new Date(nowMs).toISOString());
  const unread = db
    .selectFrom('tracking')
    .select('org_id')
    .where('unread_from', '<=', lastDueDay(nowMs, policy));
  const { isDue } = await db
    .selectNoFrom((eb) => eb.or([eb.exists(due), eb.exists(unread)]).as('isDue'))
    .executeTakeFirstOrThrow();
  return isDue === true;
}

interface TrackRow {
  org_id: string;
  stream: string;
  removed_on: UsageDay | null;
  unread: string;
  stored: string;
  uncovered: string;
  untracked: string;
  asked: string;
}

async function readDueTracks(
  db: Kysely<Schema>,
  { orgIds, scope, options }: { orgIds: readonly string[]; scope: ExportScope; options: DueOptions },
): Promise<DueTrack[]> {
  const { nowMs, policy } = options;
  const { streams } = scope;
  const { rows } = await sql<TrackRow>`
    ${dueTimes(options)}, cells as materialized (
      select c.org_id, c.stream, c.usage_date, c.is_stored,
        coalesce(c.usage_date <@ k.tracked_days, false) as is_tracked
      from due_at d
      cross join unnest(${orgIds}::text[]) as page (org_id)
      cross join lateral (
        select c.org_id, c.stream, c.usage_date, c.is_stored from losant_usage.coverage c
        where c.next_read_at = d.next_read_at and c.org_id = page.org_id and ${isDueNow(options)} offset 0
      ) as c
      left join losant_usage.tracking k on k.org_id = c.org_id and k.stream = c.stream
    ), due as (
      select org_id, stream,
        range_agg(daterange(usage_date, usage_date + 1)) filter (where is_stored) as stored,
        range_agg(daterange(usage_date, usage_date + 1)) filter (where not is_stored and is_tracked) as uncovered,
        range_agg(daterange(usage_date, usage_date + 1)) filter (where not is_stored and not is_tracked) as untracked
      from cells group by org_id, stream
    )
    select o.org_id, s.stream, o.removed_on, coalesce(unread.days, '{}')::text as unread,
      coalesce(due.stored, '{}')::text as stored, coalesce(due.uncovered, '{}')::text as uncovered,
      coalesce(due.untracked, '{}')::text as untracked, '{}' as asked
    from losant_usage.organizations o
    cross join losant_usage.streams s
    left join due on due.org_id = o.org_id and due.stream = s.stream
    left join lateral (
      select (t.tracked_days - t.read_days) * datemultirange(daterange(t.from_day,
        greatest(t.from_day, least(t.end_day, ${lastDueDay(nowMs, policy)}::date) + 1))) as days
      from losant_usage.tracks t where t.org_id = o.org_id and t.stream = s.stream offset 0
    ) as unread on true
    where o.org_id = any (${orgIds}::text[])
      and (${streams}::text[] is null or s.stream = any (${streams}::text[]))
      and (due.org_id is not null or not isempty(unread.days))
    order by o.org_id, s.stream`.execute(db);
  return rows.map(toTrack);
}

/**
 * `readAskedOrgs` reads a page of organizations for a backfill: those that are exported. One that left the
 * configuration is read only if it is named.
 */
async function readAskedOrgs(db: Kysely<Schema>, scope: ExportScope, afterOrgId: string): Promise<string[]> {
  const { rows } = await sql<{ org_id: string }>`
    select o.org_id from losant_usage.organizations o
    cross join lateral (
      select from losant_usage.tracking k
      where k.org_id = o.org_id and (upper_inf(k.tracked_days) or ${scope.orgIds}::text[] is not null)
        and ${isInShard('o.org_id', scope)} limit 1
    ) as k
    where ${isAfter(scope.instanceId, afterOrgId)} and ${isNamed('o.org_id', scope)}
    order by o.instance_id, o.org_id limit ${ORGS_PER_PAGE}`.execute(db);
  return rows.map(({ org_id }) => org_id);
}

async function readAskedTracks(
  db: Kysely<Schema>,
  { orgIds, scope, ask, nowMs }: { orgIds: readonly string[]; scope: ExportScope; ask: Ask; nowMs: number },
): Promise<DueTrack[]> {
  const { from, to } = ask.range;
  const last = lastCompleteDay(nowMs);
  const now = new Date(nowMs).toISOString();
  const { rows } = await sql<TrackRow>`
    select o.org_id, k.stream, o.removed_on, '{}' as unread, '{}' as uncovered, '{}' as untracked,
      coalesce(c.stored, '{}')::text as stored,
      (datemultirange(daterange(greatest(${from}::date, o.created_on),
        greatest(${from}::date, o.created_on, least(${to}::date, ${last}::date) + 1)))
        - case when ${ask.force}::boolean then '{}' else coalesce(c.settled, '{}') end)::text as asked
    from losant_usage.organizations o
    join losant_usage.tracking k on k.org_id = o.org_id
    left join lateral (
      select range_agg(daterange(c.usage_date, c.usage_date + 1)) as stored,
        range_agg(daterange(c.usage_date, c.usage_date + 1))
          filter (where c.next_read_at is null or c.next_read_at > ${now}::timestamptz) as settled
      from losant_usage.days_between(${from}::date, ${to}::date) as d (day) cross join lateral (
        select c.usage_date, c.next_read_at from losant_usage.coverage c
        where c.usage_date = d.day and c.stream = k.stream and c.org_id = k.org_id
          and c.is_stored offset 0
      ) as c
    ) as c on true
    where o.org_id = any (${orgIds}::text[])
      and (${scope.streams}::text[] is null or k.stream = any (${scope.streams}::text[]))
    order by o.org_id, k.stream`.execute(db);
  return rows.map(toTrack);
}

function toTrack(row: TrackRow): DueTrack {
  return {
    orgId: row.org_id,
    stream: row.stream,
    removedOn: row.removed_on,
    unread: parseDays(row.unread),
    stored: parseDays(row.stored),
    uncovered: parseDays(row.uncovered),
    untracked: parseDays(row.untracked),
    asked: parseDays(row.asked),
  };
}

/** `parseDays` parses a bounded multirange, `{[2026-08-26,2026-11-20),…}`, into inclusive ranges. */
function parseDays(multirange: string): DayRange[] {
  return [...multirange.matchAll(/\[([\d-]+),([\d-]+)\)/g)].map(([, from, until]) => ({
    from: from as string,
    to: addDays(until as string, -1),
  }));
}
