import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { isUndefined } from '../database/sqlstate.ts';
import { notExported, requireTracks } from '../ledger/fill.ts';
import { readInstance } from '../ledger/instances.ts';
import { listOrgPages } from '../losant/org-list.ts';
import type { CellKey } from '../usage/cell.ts';
import { daysFrom, eachDay, earliestDay, HOUR_MS, latestDay, type UsageDay } from '../usage/day.ts';
import { planSlices } from '../usage/plan.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { InstanceContext, RunOptions } from './context.ts';

/** What a run would read. */
export interface PlanSummary {
  readonly instanceId: string;
  /** The oldest day read; null if nothing is read. `to` is the newest. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly orgs: number;
  readonly cells: number;
  /** The number of requests if each is answered at once, without those of discovery. */
  readonly requests: number;
  /** The number of days of the range that are left out because Losant no longer keeps them. */
  readonly pastHorizon: number;
}

type PreviewOptions = Pick<RunOptions, 'kind' | 'orgIds' | 'streams' | 'range' | 'force' | 'signal'>;

/**
 * Adds up what a run would read, and writes nothing. An instance that this database has never collected is planned from
 * Losant's list, as its first run would be.
 */
export async function previewRun(context: InstanceContext, options: PreviewOptions): Promise<PlanSummary> {
  const { instanceId, policy, now } = context;
  const { range } = options;
  const isKnown = await isCollected(context);
  if (isKnown) await requireTracks(context.db, { ...options, instanceId });
  const pages = isKnown ? readCells(context, options) : listCells(context, options);
  const horizon = horizonStart(now(), policy);
  const sum = { orgs: 0, cells: 0, requests: 0 };
  let days: UsageDay[] = [];
  for await (const cells of pages) {
    if (cells.length === 0) continue;
    sum.orgs += new Set(cells.map(({ orgId }) => orgId)).size;
    sum.cells += cells.length;
    for (const { stream, window } of planSlices(cells)) {
      sum.requests += streamNamed(stream).requests.length;
      days = [earliestDay(days[0], window.from), latestDay(days.at(-1), window.to)];
    }
  }
  const pastHorizon =
    range === null
      ? 0
      : Math.max(0, Math.min(daysFrom(range.from, horizon), daysFrom(range.from, range.to) + 1));
  return { instanceId, from: days[0] ?? null, to: days.at(-1) ?? null, ...sum, pastHorizon };
}

async function isCollected({ db, instanceId }: InstanceContext): Promise<boolean> {
  try {
    return (await readInstance(db, instanceId)) !== null;
  } catch (error) {
    if (isUndefined(error)) return false;
    throw error;
  }
}

const ORGS_PER_PAGE = 500;

/** Yields the cells that a run would read: those due or set due by it, and those whose rows it would make. */
async function* readCells(
  context: InstanceContext,
  options: PreviewOptions,
): AsyncGenerator<readonly CellKey[]> {
  for (let afterOrgId = ''; ; ) {
    let orgs = context.db
      .selectFrom('organizations')
      .select('org_id')
      .where('instance_id', '=', context.instanceId)
      .where('org_id', '>', afterOrgId)
      .where('removed_on', 'is', null)
      .orderBy('org_id')
      .limit(ORGS_PER_PAGE);
    if (options.orgIds !== null) orgs = orgs.where('org_id', 'in', options.orgIds);
    const page = (await orgs.execute()).map(({ org_id }) => org_id);
    const last = page.at(-1);
    if (last === undefined) return;
    afterOrgId = last;
    yield await readCellsOf(context.db, page, { context, options });
  }
}

async function readCellsOf(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  { context, options }: { context: InstanceContext; options: PreviewOptions },
): Promise<CellKey[]> {
  const { policy, now } = context;
  const { kind, range, streams, force } = options;
  const nowMs = now();
  const [at, horizon, yesterday] = [
    new Date(nowMs).toISOString(),
    horizonStart(nowMs, policy),
    lastCompleteDay(nowMs),
  ];
  const filledTo = lastCompleteDay(nowMs - Math.min(...policy.readAtHours) * HOUR_MS);
  const isBackfill = kind === 'backfill';
  const only = isBackfill ? null : range;
  const added = isBackfill && range !== null ? range : { from: '2050-01-01', to: '2049-12-31' };
  const { rows } = await sql<CellKey>`
    select w.org_id as "orgId", w.stream, w.usage_date as day
    from (
      select c.org_id, c.stream, c.usage_date from losant_usage.cells c
      where c.org_id = any (${orgIds}::text[]) and (c.next_read_at <= ${at}::timestamptz
        or (${kind === 'manual' && range === null}::boolean and c.attempts > 0 and c.next_read_at is not null)
        or (c.usage_date between ${range?.from ?? null}::date and ${range?.to ?? null}::date
          and (${force || !isBackfill}::boolean or not c.is_stored))
        or (c.reason = 'never_read' and c.next_read_at is null and c.usage_date <= ${filledTo}::date))
      union
      select t.org_id, t.stream, day::date
      from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
      cross join lateral generate_series(greatest(${added.from}::date, o.created_on)::timestamp,
        greatest(t.first_day - 1, least(${added.to}::date, ${yesterday}::date))::timestamp, interval '1 day') as day
      where t.org_id = any (${orgIds}::text[])
        and (day::date < t.first_day or (t.to_day < day::date and day::date <= ${added.to}::date))
    ) as w
    where w.usage_date >= ${horizon}::date
      and (${streams}::text[] is null or w.stream = any (${streams}::text[]))
      and (${only?.from ?? null}::date is null
        or w.usage_date between ${only?.from ?? null}::date and ${only?.to ?? null}::date)`.execute(db);
  return rows;
}

/** Yields the cells that a first run would begin with. */
async function* listCells(
  { client, instanceId, selection, streams, policy, now }: InstanceContext,
  { orgIds, streams: wanted, range, signal }: PreviewOptions,
): AsyncGenerator<readonly CellKey[]> {
  const yesterday = lastCompleteDay(now());
  const isMeant = (orgId: string) =>
    (selection.kind === 'all' || selection.orgIds.includes(orgId)) &&
    (orgIds === null || orgIds.includes(orgId));
  const missing = new Set(orgIds);
  for await (const { items } of listOrgPages(client, { instanceId, signal })) {
    for (const { orgId } of items) missing.delete(orgId);
    yield items.flatMap(({ orgId, createdOn }) => {
      if (!isMeant(orgId)) return [];
      const from = latestDay(range?.from ?? yesterday, createdOn, horizonStart(now(), policy));
      const days = eachDay({ from, to: range?.to ?? yesterday });
      return (wanted ?? streams).flatMap((stream) => days.map((day) => ({ orgId, stream, day })));
    });
  }
  const [unknown] = missing;
  if (unknown !== undefined) throw notExported(`--org ${unknown}`, instanceId);
}
