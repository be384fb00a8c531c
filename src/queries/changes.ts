import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import type { Instant, Restatements, Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { matching } from './organizations.ts';

/** Which changes are returned: all where nothing is given, or null. */
export interface ChangeQuery {
  /** Part of an organization's name or referral id, or the beginning of its id; empty for all. */
  readonly search?: string;
  /** The usage days. */
  readonly range?: DayRange | null;
  /** Only changes of numbers that were final before, or of days whose month was closed before. */
  readonly which?: 'final' | 'closed' | null;
  readonly onlyByHand?: boolean;
  /** The time from which changes are returned, and that before which. */
  readonly since?: Instant | null;
  readonly until?: Instant | null;
  readonly runId?: string | null;
  readonly metric?: string | null;
  /** The id of the change before which the page begins; the newest if there is none. */
  readonly beforeId?: number | null;
}

/**
 * A page of changes. Its counts are of cells: all values of an organization's stream and day that changed at once
 * are one number. Sums and totals are on the first page only.
 */
export type ChangeList = Awaited<ReturnType<typeof readChangeList>>;

/** All changes of a metric of an organization in a month of usage days. */
export interface ChangeSum {
  /** The first day of the month. */
  readonly month: UsageDay;
  readonly orgId: string;
  readonly orgName: string;
  readonly metric: string;
  readonly unit: string;
  readonly changes: number;
  /** The sum of the differences. */
  readonly difference: number;
}

/** A change of one value. */
export type ChangeLine = Selectable<Restatements>;

/** The metrics of which invoices are made, and whose differences add up. */
const BILLED_METRICS: readonly string[] = ['payload_billable_count', 'notebook_minutes'];

/** The number of rows of the record on a page; a row may be of several values. */
const CHANGES_PER_PAGE = 50;

/** `readChangeList` returns a page of the changes that match, newest first, with the counts of all pages. */
export async function readChangeList(db: Kysely<Schema>, query: ChangeQuery) {
  const { beforeId = null } = query;
  const found = selectChanges(db, query);
  const page = beforeId === null ? found : found.where('r.id', '<', beforeId);
  const rows = await page
    .select('r.id')
    .orderBy('r.id', 'desc')
    .limit(CHANGES_PER_PAGE + 1)
    .execute();
  const ids = rows.slice(0, CHANGES_PER_PAGE).map(({ id }) => id);
  const changes = await selectLines(db, query)
    .where((eb) => eb('r.revision_id', '=', eb.fn.any(eb.val(ids))))
    .execute();
  const counts = await db
    .selectFrom(groupByCell(found).as('c'))
    .select(({ fn }) => [
      fn.countAll<number>().as('numbers'),
      fn.countAll<number>().filterWhere('c.byHand', '=', true).as('byHand'),
    ])
    .executeTakeFirstOrThrow();
  const nextId = rows.length > CHANGES_PER_PAGE ? (ids.at(-1) ?? null) : null;
  const sums = beforeId === null ? await readSums(db, query) : { sums: [], totals: [] };
  return { changes, ...counts, nextId, ...sums };
}

/** The most lines of a file; `losant-usage export --view restatements` has any number. */
export const CHANGE_LINES_MAX = 100_000;

/** `readChangeLines` returns every line that matches, newest first; one more than {@link CHANGE_LINES_MAX} if there are too many. */
export async function readChangeLines(db: Kysely<Schema>, query: ChangeQuery): Promise<ChangeLine[]> {
  return await selectLines(db, query)
    .limit(CHANGE_LINES_MAX + 1)
    .execute();
}

function selectLines(db: Kysely<Schema>, query: ChangeQuery) {
  return db
    .selectFrom('restatements as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .selectAll('r')
    .where(meets(query))
    .where(isOfMetric(query))
    .orderBy('r.revision_id', 'desc')
    .orderBy('m.position');
}

function isOfMetric({ metric }: ChangeQuery): RawBuilder<boolean> {
  return metric == null ? sql`true` : sql`r.metric = ${metric}`;
}

/** The most sums that are shown. */
const SUMS_MAX = 30;

/** `readSums` adds all changes up in one pass: by month, organization and metric, and by metric alone. */
async function readSums(db: Kysely<Schema>, query: ChangeQuery) {
  const { rows } = await sql<ChangeSum & { readonly isTotal: boolean }>`
    select date_trunc('month', r.usage_date)::date as month, r.org_id as "orgId", r.org_name as "orgName", r.metric,
      r.unit, count(*) as changes, sum(r.difference)::bigint as difference, grouping(r.org_id) = 1 as "isTotal"
    from losant_usage.restatements r
    where ${meets(query)} and ${isOfMetric(query)}
    group by grouping sets ((date_trunc('month', r.usage_date), r.org_id, r.org_name, r.metric, r.unit), (r.metric, r.unit))
    order by "isTotal" desc, r.metric = any (${BILLED_METRICS}) desc, abs(sum(r.difference)) desc, month desc, r.org_id
    limit ${SUMS_MAX} + (select count(*) from losant_usage.metrics)`.execute(db);
  return {
    sums: rows.filter(({ isTotal }) => !isTotal).slice(0, SUMS_MAX),
    totals: BILLED_METRICS.flatMap((name) =>
      rows.filter(({ isTotal, metric }) => isTotal && metric === name),
    ),
  };
}

/**
 * `countChanges` counts by instance the final numbers that changed: all, those since `since`, and those of them that
 * were changed by hand; and the numbers, final or not, that were changed by hand since then.
 */
export async function countChanges(db: Kysely<Schema>, since: Instant) {
  const finals = await db
    .selectFrom(groupByCell(selectChanges(db, { which: 'final' })).as('c'))
    .select('c.instance_id')
    .select(({ fn }) => {
      const counted = fn.countAll<number>();
      const recent = counted.filterWhere('c.changed_at', '>=', since);
      return [
        counted.as('all'),
        recent.as('recent'),
        recent.filterWhere('c.byHand', '=', true).as('recentByHand'),
      ];
    })
    .groupBy('c.instance_id')
    .execute();
  const byHand = await db
    .selectFrom(groupByCell(selectChanges(db, { onlyByHand: true, since })).as('c'))
    .select(['c.instance_id', (eb) => eb.fn.countAll<number>().as('numbers')])
    .groupBy('c.instance_id')
    .execute();
  return { finals, byHand };
}

/** `selectChanges` selects the rows that the view restatements shows: each source of payloads, and not their sum. */
function selectChanges(db: Kysely<Schema>, query: ChangeQuery) {
  const rows = db
    .selectFrom('revisions as r')
    .innerJoin('organizations as o', 'o.org_id', 'r.org_id')
    .where((eb) => {
      const isDetail = eb('r.stream', '=', 'payload_sources');
      const isSum = sql<boolean>`r.key = '{}'`;
      return eb.or([eb.and([isDetail, eb.not(isSum)]), eb.and([eb.not(isDetail), isSum])]);
    })
    .where(meets(query));
  const { metric } = query;
  if (metric == null) return rows;
  return rows.where((eb) =>
    eb.exists(
      eb
        .selectFrom('restatements as x')
        .whereRef('x.revision_id', '=', 'r.id')
        .where('x.metric', '=', metric),
    ),
  );
}

/** `meets` is the condition that a row `r` of the record, or of its view, meets the query whatever its metric. */
function meets(query: ChangeQuery): RawBuilder<boolean> {
  const { search = '', range, which, onlyByHand, since, until, runId } = query;
  const conditions = [
    which === 'final' ? sql`r.was_final` : null,
    onlyByHand ? sql`r.run_id is null` : null,
    since == null ? null : sql`r.changed_at >= ${since}::timestamptz`,
    until == null ? null : sql`r.changed_at < ${until}::timestamptz`,
    runId == null ? null : sql`r.run_id = ${runId}::uuid`,
    range == null ? null : sql`r.usage_date between ${range.from}::date and ${range.to}::date`,
    search === '' ? null : isOfOrganization(search),
    which === 'closed'
      ? sql`exists (
          select from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
          where l.org_id = r.org_id and r.usage_date between l.period_start and l.period_end and s.closed_at < r.changed_at)`
      : null,
  ].filter((condition) => condition !== null);
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `);
}

/** A complete id is looked up, which is fast; any other text is searched for. */
function isOfOrganization(search: string): RawBuilder<boolean> {
  return isLosantId(search)
    ? sql`r.org_id = ${search}`
    : sql`r.org_id in (select o.org_id from losant_usage.organizations o where ${matching(search)})`;
}

function groupByCell(rows: ReturnType<typeof selectChanges>) {
  return rows
    .select(['o.instance_id', 'r.org_id', 'r.stream', 'r.usage_date', 'r.revision'])
    .select((eb) => [eb.fn.max('r.changed_at').as('changed_at'), eb('r.run_id', 'is', null).as('byHand')])
    .groupBy(['o.instance_id', 'r.org_id', 'r.stream', 'r.usage_date', 'r.revision', 'r.run_id']);
}
