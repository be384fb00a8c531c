/** The state of everything that is wanted, the same for every process that asks. */
import { type InferResult, type Kysely, type Selectable, sql } from 'kysely';
import { CLOCK, isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';
import { DAY_MS } from '../usage/day.ts';
import { sumStandings } from '../usage/standing.ts';

/** The document of `status --json`, and the part `ledger` of `/status.json`. */
export interface Health {
  /** The time of the reading. */
  readonly at: Instant;
  /** The gaps of all instances and streams (count). */
  readonly gaps: number;
  readonly instances: readonly InstanceHealth[];
  /** Ids of instances that are not in the settings and were not retired. */
  readonly notInSettings: readonly string[];
  /** The newest runs of each instance, the newest of all first. */
  readonly runs: readonly RunRecord[];
}

/** A run with everything recorded about it that a reader may see. */
export type RunRecord = InferResult<ReturnType<typeof selectRuns>>[number];

export type InstanceHealth = Awaited<ReturnType<typeof readInstances>>[number] & {
  /** The first attempt to read it, if it was never read; null once it was. */
  readonly neverReadSince: Instant | null;
  /** The streams in the order of the view `streams`. */
  readonly streams: readonly StreamHealth[];
};

export type StreamHealth = Omit<ReturnType<typeof toStreamHealth>, 'instanceId'>;

export interface HealthOptions {
  readonly nowMs: number;
  /** The instances in the settings: no other is judged. */
  readonly instanceIds: readonly string[];
}

/** The number of days for which a changed final number is shown. */
const CHANGES_SHOWN_DAYS = 30;
const RUNS_PER_INSTANCE = 10;

/** Reads the state of the instances in the settings, in half a second at 10,000 organizations. */
export async function readHealth(db: Kysely<Schema>, { nowMs, instanceIds }: HealthOptions): Promise<Health> {
  const rows = await readRows(db, instanceIds);
  const streams = rows.flatMap((row) =>
    row.stream === null ? [] : [toStreamHealth({ ...row, stream: row.stream })],
  );
  const neverRead = rows.filter(({ stream }) => stream === null);
  const instances = await readInstances(db, { nowMs, instanceIds });
  return {
    at: new Date(nowMs).toISOString(),
    gaps: streams.reduce((sum, { gaps }) => sum + gaps, 0),
    instances: instances.map((instance) => ({
      ...instance,
      neverReadSince:
        neverRead.find((row) => row.instance_id === instance.instanceId)?.first_attempt_at ?? null,
      streams: streams
        .filter(({ instanceId }) => instanceId === instance.instanceId)
        .map(({ instanceId: _, ...stream }) => stream),
    })),
    notInSettings: await readOthers(db, instanceIds),
    runs: await readLastRuns(db, instanceIds),
  };
}

/** Resolves if the database answers at all. It touches no table. */
export async function pingDatabase(db: Kysely<Schema>): Promise<void> {
  await sql`select`.execute(db);
}

async function readRows(db: Kysely<Schema>, instanceIds: readonly string[]) {
  return await db
    .selectFrom('health as h')
    .leftJoin('streams as s', 's.stream', 'h.stream')
    .selectAll('h')
    .where(isAny('h.instance_id', instanceIds))
    .orderBy('h.instance_id')
    .orderBy('s.position')
    .execute();
}

function toStreamHealth(row: Selectable<Schema['health']> & { readonly stream: string }) {
  return {
    instanceId: row.instance_id,
    stream: row.stream,
    /** Wanted cells up to yesterday by standing. */
    cells: sumStandings([row]),
    /** Cells of yesterday that are waiting or worse, by standing; the others of yesterday are stored or better. */
    yesterday: {
      waiting: row.yesterday_waiting,
      unavailable: row.yesterday_unavailable,
      in_doubt: row.yesterday_in_doubt,
      missing: row.yesterday_missing,
    },
    /** The newest day of the last ten that was read for any organization; null if none was. */
    newestReadDay: row.newest_read_day,
    /** The last wanted day, and the last up to which nothing is missing. */
    lastDay: row.last_day,
    completeTo: row.complete_to,
    /** The organizations that are tracked, and those of them without a missing day. */
    orgs: row.orgs,
    orgsComplete: row.orgs_complete,
    gaps: row.gaps,
    orgsWithGaps: row.orgs_with_gaps,
    oldestGap: row.oldest_gap,
    /** Gaps whose day passes the horizon within 7 days (count). */
    expiring: row.gaps_expiring,
    /** Stored cells whose reads keep failing, and cells whose newest answer is in quarantine (counts). */
    failing: row.failing,
    quarantined: row.quarantined,
  };
}

async function readInstances(db: Kysely<Schema>, { nowMs, instanceIds }: HealthOptions) {
  const since = new Date(nowMs - CHANGES_SHOWN_DAYS * DAY_MS).toISOString();
  const finalChanges = sql`(select r.changed_at from losant_usage.revisions r
    join losant_usage.organizations o on o.org_id = r.org_id and o.instance_id = i.instance_id where r.was_final)`;
  return await db
    .selectFrom('instances as i')
    .leftJoin('leases as l', (join) =>
      join.onRef('l.instance_id', '=', 'i.instance_id').on('l.until', '>', CLOCK),
    )
    .select(['i.instance_id as instanceId', 'i.name', 'i.listed_at as listedAt'])
    /** Reasons why the newest list of organizations was not complete, and why totals could not be read. */
    .select(['i.list_problem as listProblem', 'i.totals_problem as totalsProblem'])
    /** When a run last tried to read it, and why that broke off. */
    .select(['i.last_attempt_at as lastAttemptAt', 'i.last_error as lastError'])
    .select([
      sql<number>`(select count(*) from losant_usage.organizations o
        where o.instance_id = i.instance_id and o.removed_on is null)`.as('organizations'),
      sql<Instant | null>`(select max(r.finished_at) from losant_usage.runs r
        where r.instance_id = i.instance_id)`.as('lastRunAt'),
      sql<Instant | null>`(select max(r.finished_at) from losant_usage.runs r
        where r.instance_id = i.instance_id and r.is_full and r.status = 'complete')`.as('lastCompleteRunAt'),
      /** Numbers that changed although they were final: ever, and in the last 30 days (counts). */
      sql<number>`(select count(*) from ${finalChanges} as f)`.as('finalChanges'),
      sql<number>`(select count(*) from ${finalChanges} as f where f.changed_at >= ${since})`.as(
        'finalChanges30Days',
      ),
      /** Settled numbers that differ from Losant's own totals or from their counterparts (count). */
      sql<number>`(select count(*) from losant_usage.reconciliation c
        where c.instance_id = i.instance_id and c.outcome = 'differs')`.as('differences'),
    ])
    /** Since when a run exports it; null if none does. */
    .select('l.since as leaseSince')
    .where(isAny('i.instance_id', instanceIds))
    .orderBy('i.instance_id')
    .execute();
}

async function readOthers(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<string[]> {
  const rows = await db
    .selectFrom('instances as i')
    .select('i.instance_id')
    .where('i.retired_at', 'is', null)
    .where((eb) => eb.not(isAny('i.instance_id', instanceIds)))
    .orderBy('i.instance_id')
    .execute();
  return rows.map(({ instance_id }) => instance_id);
}

async function readLastRuns(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<RunRecord[]> {
  return await db
    .selectFrom('instances as i')
    .innerJoinLateral(
      selectRuns(db)
        .where((eb) => eb('r.instance_id', '=', sql.ref<string>('i.instance_id')))
        .orderBy('r.started_at', 'desc')
        .limit(RUNS_PER_INSTANCE)
        .as('last'),
      (join) => join.onTrue(),
    )
    .selectAll('last')
    .where(isAny('i.instance_id', instanceIds))
    .orderBy('last.startedAt', 'desc')
    .orderBy('last.runId')
    .execute();
}

function selectRuns(db: Kysely<Schema>) {
  return db
    .selectFrom('runs as r')
    .select(['r.run_id as runId', 'r.instance_id as instanceId', 'r.from_date as from', 'r.to_date as to'])
    .select(['r.started_at as startedAt', 'r.finished_at as finishedAt', 'r.version', 'r.error'])
    .select((eb) => [
      eb.ref('r.kind').$castTo<RunKind>().as('kind'),
      eb.ref('r.status').$castTo<RunStatus>().as('status'),
      eb.ref('r.counts').$castTo<Partial<RunCounts>>().as('counts'),
      eb.ref('r.failures').$castTo<readonly FailureGroup[]>().as('failures'),
    ]);
}
