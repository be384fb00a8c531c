import { type Kysely, sql } from 'kysely';
import { addDays, dayAt, type UsageDay } from '../../usage/day.ts';
import type { CellState, Instant, RunKind, RunStatus, Schema } from '../schema.ts';

/** What the ledger says of everything that is promised, as any replica can tell it. */
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
  /** The end of the newest scheduled run that left nothing due. */
  readonly lastCompleteRunAt: Instant | null;
  /** Who exports it right now. */
  readonly leaseHost: string | null;
  /** Answers that could not be believed and were not followed by a good one. */
  readonly quarantined: number;
  readonly streams: readonly StreamHealth[];
}

export interface StreamHealth {
  readonly stream: string;
  /** Promised cells inside the horizon by state; `missing` have no row. */
  readonly cells: Readonly<Record<CellState | 'missing', number>>;
  readonly gaps: number;
  readonly oldestGap: UsageDay | null;
  /** Gaps whose day passes the horizon within the next 7 days. */
  readonly expiring: number;
  /** The newest day of which every promised cell is held, waived or known to be lost. */
  readonly completeTo: UsageDay | null;
}

export interface RunLine {
  readonly runId: string;
  readonly instanceId: string;
  readonly kind: RunKind;
  readonly status: RunStatus;
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly startedAt: Instant;
  readonly finishedAt: Instant | null;
  readonly host: string;
  readonly cells: number;
  readonly error: string | null;
}

export interface HealthOptions {
  readonly nowMs: number;
  readonly horizonDays: number;
  /** Whether a promised cell of the day that has no row, or is absent, counts as a gap by now. */
  readonly isOverdue: (day: UsageDay, nowMs: number) => boolean;
}

/** Warns of a loss a week before it happens. */
const EXPIRING_DAYS = 7;
const RUNS_SHOWN = 10;

/** Reads what is held of what is promised, with three statements that write nothing. */
export async function readHealth(db: Kysely<Schema>, options: HealthOptions): Promise<Health> {
  const at = new Date(options.nowMs).toISOString();
  const instances = await readInstances(db, at);
  const counts = await readDayCounts(db, addDays(dayAt(options.nowMs), -1));
  const runs = await readRuns(db);
  const byInstance = Map.groupBy(counts, ({ instanceId }) => instanceId);
  return {
    at,
    runs,
    instances: instances.map((instance) => ({
      ...instance,
      streams: foldStreams(byInstance.get(instance.instanceId) ?? [], options),
    })),
  };
}

/** How many cells of a stream's day are promised, or are in a state. */
export interface DayCount {
  readonly instanceId: string;
  readonly stream: string;
  readonly day: UsageDay;
  readonly state: CellState | 'promised';
  readonly count: number;
}

/** Adds days up to streams, in the order of their names. Pure. */
export function foldStreams(counts: readonly DayCount[], options: HealthOptions): StreamHealth[] {
  const byStream = Map.groupBy(counts, ({ stream }) => stream);
  return [...byStream.keys()].sort().map((stream) => foldDays(stream, byStream.get(stream) ?? [], options));
}

function foldDays(stream: string, counts: readonly DayCount[], options: HealthOptions): StreamHealth {
  const { nowMs, horizonDays, isOverdue } = options;
  const expiringBefore = addDays(dayAt(nowMs), EXPIRING_DAYS - horizonDays);
  const cells = { ...NONE };
  let gaps = 0;
  let expiring = 0;
  let oldestGap: UsageDay | null = null;
  let completeTo: UsageDay | null = null;
  const byDay = Map.groupBy(counts, ({ day }) => day);
  for (const day of [...byDay.keys()].sort()) {
    const states = statesOf(byDay.get(day) ?? []);
    for (const [state, count] of Object.entries(states)) cells[state as keyof typeof NONE] += count;
    const isLate = isOverdue(day, nowMs);
    const dayGaps = states.failed + states.quarantined + (isLate ? states.missing + states.absent : 0);
    if (states.failed + states.quarantined + states.missing + states.absent === 0) completeTo = day;
    if (dayGaps === 0) continue;
    gaps += dayGaps;
    oldestGap ??= day;
    if (day < expiringBefore) expiring += dayGaps;
  }
  return { stream, cells, gaps, oldestGap, expiring, completeTo };
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

function statesOf(counts: readonly DayCount[]): Record<CellState | 'missing', number> {
  const states = { ...NONE };
  let promised = 0;
  let known = 0;
  for (const { state, count } of counts) {
    if (state === 'promised') promised += count;
    else {
      states[state] += count;
      known += count;
    }
  }
  return { ...states, missing: promised - known };
}

/** By day, so that a table of millions of cells comes as some hundred rows. */
async function readDayCounts(db: Kysely<Schema>, lastDay: UsageDay): Promise<DayCount[]> {
  const { rows } = await sql<DayCount>`
    with promise as (
      select o.instance_id, t.stream, t.org_id,
        greatest(t.tracked_from, t.expired_to) as from_day,
        least(${lastDay}::date, t.tracked_to, (o.removed_at at time zone 'UTC')::date) as to_day
      from losant_usage.tracking t join losant_usage.organizations o using (org_id)
    ), alike as (
      select instance_id, stream, from_day, to_day, count(*) as tracks
      from promise where from_day <= to_day group by instance_id, stream, from_day, to_day
    )
    select instance_id as "instanceId", stream, day::date::text as day, 'promised' as state,
      sum(tracks)::bigint as count
    from alike, generate_series(from_day::timestamp, to_day::timestamp, interval '1 day') as day
    group by instance_id, stream, day
    union all
    select p.instance_id, c.stream, c.usage_date::text, c.state, count(*)
    from losant_usage.coverage c join promise p on p.org_id = c.org_id and p.stream = c.stream
      and c.usage_date between p.from_day and p.to_day
    where c.usage_date between (select min(from_day) from promise) and ${lastDay}::date
    group by p.instance_id, c.stream, c.usage_date, c.state`.execute(db);
  return rows;
}

async function readInstances(db: Kysely<Schema>, at: Instant): Promise<Omit<InstanceHealth, 'streams'>[]> {
  const { rows } = await sql<Omit<InstanceHealth, 'streams'>>`
    select i.instance_id as "instanceId",
      (select count(*) from losant_usage.organizations o
       where o.instance_id = i.instance_id and o.removed_at is null) as organizations,
      (select max(finished_at) from losant_usage.runs r where r.instance_id = i.instance_id
         and r.kind = 'scheduled' and r.status = 'complete' and r.finished_at <= ${at}) as "lastCompleteRunAt",
      case when i.lease_until > clock_timestamp() then i.lease_host end as "leaseHost",
      (select count(*) from losant_usage.quarantine q join losant_usage.organizations o using (org_id)
       where o.instance_id = i.instance_id and q.resolved_at is null) as quarantined
    from losant_usage.instances i order by i.instance_id`.execute(db);
  return rows;
}

async function readRuns(db: Kysely<Schema>): Promise<RunLine[]> {
  const { rows } = await sql<RunLine>`
    select run_id as "runId", instance_id as "instanceId", kind, status, from_date as "from", to_date as "to",
      started_at as "startedAt", finished_at as "finishedAt", host, cells_planned as cells, error
    from losant_usage.runs order by started_at desc limit ${RUNS_SHOWN}`.execute(db);
  return rows;
}
