import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { leaseInForce } from '../ledger/lease-holder.ts';
import type { CellState } from '../usage/cell.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { countQuarantined, countRestatedFinal } from './counts.ts';
import type { Scope } from './reconciliation.ts';
import type { RunSummary } from './runs.ts';

/** What the ledger says of everything that is tracked, as any replica can tell it. */
export interface Health {
  /** The instant it was judged at. */
  readonly at: Instant;
  readonly instances: readonly InstanceHealth[];
  /** The newest runs first. */
  readonly runs: readonly RunLine[];
}

export interface InstanceHealth {
  readonly instanceId: string;
  readonly organizations: number;
  /** The end of the newest run over everything that left nothing due. */
  readonly lastCompleteRunAt: Instant | null;
  /** As last seen in Losant. */
  readonly name: string | null;
  /** Why the newest list of organizations was not complete, so that some may be missing; null if it was. */
  readonly listProblem: string | null;
  /** Whether a run of it has ended yet, however. */
  readonly hasRun: boolean;
  /** Numbers that were final and changed in the last 30 days, and since ever. */
  readonly restatedFinal30Days: number;
  readonly restatedFinal: number;
  /** Who exports it right now. */
  readonly leaseHost: string | null;
  /** Invalid answers that no good one has followed. */
  readonly quarantined: number;
  /** Final numbers that differ from Losant's own totals, by scope of the view reconciliation; absent: not counted yet. */
  readonly differences?: Readonly<Record<Scope, number>> | undefined;
  readonly streams: readonly StreamHealth[];
}

export interface StreamHealth {
  readonly stream: string;
  /** Tracked cells inside the horizon by state; `missing` have no row. */
  readonly cells: Readonly<Record<CellState | 'missing', number>>;
  readonly gaps: number;
  /** Those of them that are held: Losant left the number out since, or somebody changed it. */
  readonly doubted: number;
  readonly oldestGap: UsageDay | null;
  /** Gaps whose day passes the horizon within the next 7 days. */
  readonly expiring: number;
  /** Numbers that are no longer available or were waived, of whatever age: the view known_missing. */
  readonly knownMissing: number;
  /** The view freshness: the last day up to which nothing is missing. */
  readonly completeTo: UsageDay | null;
  /** Organizations tracked up to yesterday, and those of them of which nothing is missing. */
  readonly orgsTracked: number;
  readonly orgsComplete: number;
}

export interface RunLine extends Omit<RunSummary, 'host' | 'version' | 'cells'> {
  readonly host: string;
  readonly cells: number;
  /** HTTP requests sent so far. */
  readonly requests: number;
  /** When it was last known to be alive. */
  readonly heartbeatAt: Instant;
}

export interface HealthOptions {
  readonly nowMs: number;
  readonly horizonDays: number;
}

/** Warns of a loss a week before it happens. */
const EXPIRING_DAYS = 7;
const RUNS_SHOWN = 10;

/** Reads what is held of what is tracked. Writes nothing. */
export async function readHealth(db: Kysely<Schema>, options: HealthOptions): Promise<Health> {
  const at = new Date(options.nowMs).toISOString();
  const instances = await readInstances(db, at);
  const streams = await readStreams(db, options);
  const runs = await readRuns(db);
  const byInstance = Map.groupBy(streams, ({ instanceId }) => instanceId);
  return {
    at,
    runs,
    instances: instances.map((instance) => ({
      ...instance,
      streams: (byInstance.get(instance.instanceId) ?? []).map(({ instanceId: _, ...stream }) => stream),
    })),
  };
}

/** One row per instance and stream, in the order of their names. */
async function readStreams(
  db: Kysely<Schema>,
  { nowMs, horizonDays }: HealthOptions,
): Promise<(StreamHealth & { instanceId: string })[]> {
  const today = dayAt(nowMs);
  const horizon = addDays(today, -horizonDays);
  const { rows } = await sql<StreamHealth & { instanceId: string }>`
    with tracks as (
      -- Days are counted only where two of them do not tell how many there are.
      select instance_id, stream,
        sum(case when has_holes then losant_usage.count_days(days * datemultirange(daterange(${horizon}::date, null)))
          else greatest(to_day - greatest(from_day, ${horizon}::date) + 1, 0) end)::bigint as tracked,
        sum(case when unread_from <= to_day
          then losant_usage.count_days(unread_days * datemultirange(daterange(${horizon}::date, null)))
          else 0 end)::bigint as missing
      from losant_usage.tracked group by instance_id, stream
    ), cells as (
      select instance_id, stream, state, count(*) as cells from losant_usage.open_cells
      where state <> 'final' and usage_date >= ${horizon}::date group by instance_id, stream, state
    ), states as (
      select t.instance_id, t.stream, t.tracked - t.missing - coalesce(sum(c.cells), 0) as final, t.missing,
        coalesce(jsonb_object_agg(c.state, c.cells) filter (where c.state is not null), '{}') as cells
      from tracks t left join cells c using (instance_id, stream)
      group by t.instance_id, t.stream, t.tracked, t.missing
    ), expiring as (
      select instance_id, stream, count(*)::integer as gaps from losant_usage.coverage_gaps
      where usage_date < ${addDays(horizon, EXPIRING_DAYS)}::date group by instance_id, stream
    ), doubts as (
      select instance_id, stream, count(*)::integer as gaps from losant_usage.coverage_gaps
      where state in ('loaded', 'final') group by instance_id, stream
    ), known as (
      select instance_id, stream, count(*) as missing from losant_usage.known_missing group by instance_id, stream
    )
    select s.instance_id as "instanceId", s.stream, coalesce(k.missing, 0) as "knownMissing",
      ${JSON.stringify(NONE)}::text::jsonb || s.cells || jsonb_build_object('final', s.final, 'missing', s.missing) as cells,
      coalesce(f.gaps, 0) as gaps, coalesce(d.gaps, 0) as doubted, f.oldest_gap as "oldestGap", coalesce(e.gaps, 0) as expiring,
      f.complete_to as "completeTo", coalesce(f.orgs_tracked, 0) as "orgsTracked",
      coalesce(f.orgs_complete, 0) as "orgsComplete"
    from states s
    left join losant_usage.freshness f on f.instance_id = s.instance_id and f.stream = s.stream
    left join known k on k.instance_id = s.instance_id and k.stream = s.stream
    left join doubts d on d.instance_id = s.instance_id and d.stream = s.stream
    left join expiring e on e.instance_id = s.instance_id and e.stream = s.stream
    order by s.instance_id, s.stream`.execute(db);
  return rows;
}

const NONE: Record<CellState | 'missing', number> = {
  loaded: 0,
  final: 0,
  absent: 0,
  quarantined: 0,
  failed: 0,
  unavailable: 0,
  waived: 0,
  missing: 0,
};

async function readInstances(db: Kysely<Schema>, at: Instant): Promise<Omit<InstanceHealth, 'streams'>[]> {
  const [instance, moment] = [sql`i.instance_id`, sql`${at}::timestamptz`];
  const { rows } = await sql<Omit<InstanceHealth, 'streams'>>`
    select i.instance_id as "instanceId", i.name, i.list_problem as "listProblem",
      exists (select from losant_usage.runs r
        where r.instance_id = i.instance_id and r.finished_at is not null) as "hasRun",
      ${countRestatedFinal(instance, { at: moment, days: 30 })} as "restatedFinal30Days",
      ${countRestatedFinal(instance, { at: moment, days: null })} as "restatedFinal",
      (select count(*) from losant_usage.organizations o
       where o.instance_id = i.instance_id and o.removed_at is null) as organizations,
      (select max(finished_at) from losant_usage.runs r where r.instance_id = i.instance_id
         and r.is_full and r.status = 'complete' and r.finished_at <= ${at}) as "lastCompleteRunAt",
      l.lease_host as "leaseHost",
      ${countQuarantined(instance)} as quarantined
    from losant_usage.instances i left join ${leaseInForce({ lease: sql`lease_host` })} on true
    order by i.instance_id`.execute(db);
  return rows;
}

async function readRuns(db: Kysely<Schema>): Promise<RunLine[]> {
  const { rows } = await sql<RunLine>`
    select run_id as "runId", instance_id as "instanceId", kind, status, from_date as "from", to_date as "to",
      started_at as "startedAt", finished_at as "finishedAt", host, cells_planned as cells, requests,
      heartbeat_at as "heartbeatAt", error
    from losant_usage.runs order by started_at desc limit ${RUNS_SHOWN}`.execute(db);
  return rows;
}
