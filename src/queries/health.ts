/** The state of everything that is tracked, the same for every process that asks. */
import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/lease.ts';
import { addDays, DAY_MS, dayAt, type UsageDay } from '../usage/day.ts';
import { sumStandings } from '../usage/standing.ts';
import { countChanges } from './changes.ts';
import type { Scope } from './reconciliation.ts';
import { type RunRecord, readLastRuns } from './runs.ts';

/** The document of `status --json`, and the part `ledger` of `/status.json`. */
export interface Health {
  /** The time of the reading. */
  readonly at: Instant;
  /** The number of gaps of all instances and streams. */
  readonly gaps: number;
  readonly instances: readonly InstanceHealth[];
  /** The newest runs of each instance, the newest of all first. */
  readonly runs: readonly RunRecord[];
}

export type InstanceHealth = Awaited<ReturnType<typeof readInstances>>[number] & {
  /**
   * The number of final numbers that differ from Losant's own totals, by scope of the view
   * reconciliation; undefined until counted.
   */
  readonly differences?: Readonly<Record<Scope, number>> | undefined;
  /** The first days of the months in which they differ, newest first; undefined until counted. */
  readonly differingMonths?: readonly UsageDay[] | undefined;
  readonly streams: readonly StreamHealth[];
};

export type StreamHealth = Omit<Awaited<ReturnType<typeof readStreams>>[number], 'instanceId'>;

export interface HealthOptions {
  readonly nowMs: number;
  readonly horizonDays: number;
}

/** The time before a loss at which it is announced: a week. */
const EXPIRING_DAYS = 7;
const RUNS_PER_INSTANCE = 10;
/** The number of days for which a changed final number is shown. */
export const CHANGES_SHOWN_DAYS = 30;

/** `readHealth` reads the state of everything that is tracked, in half a second at 10,000 organizations. */
export async function readHealth(db: Kysely<Schema>, options: HealthOptions): Promise<Health> {
  const at = new Date(options.nowMs).toISOString();
  const streams = await readStreams(db, options);
  const byInstance = Map.groupBy(streams, ({ instanceId }) => instanceId);
  return {
    at,
    gaps: streams.reduce((sum, { gaps }) => sum + gaps, 0),
    runs: await readLastRuns(db, RUNS_PER_INSTANCE),
    instances: (await readInstances(db, options)).map((instance) => ({
      ...instance,
      streams: (byInstance.get(instance.instanceId) ?? []).map(({ instanceId: _, ...stream }) => stream),
    })),
  };
}

/** `pingDatabase` resolves if the database answers at all. It touches no table. */
export async function pingDatabase(db: Kysely<Schema>): Promise<void> {
  await sql`select`.execute(db);
}

/** `readStreams` returns a row for each instance and stream, in the order of their names. */
async function readStreams(db: Kysely<Schema>, { nowMs, horizonDays }: HealthOptions) {
  const today = dayAt(nowMs);
  const cells = await db.selectFrom('cell_counts').selectAll().execute();
  const yesterday = await db
    .selectFrom('cells')
    .select(['instance_id', 'stream', 'standing', (eb) => eb.fn.countAll<number>().as('cells')])
    .where('usage_date', '=', addDays(today, -1))
    .where('standing', 'in', ['waiting', 'unavailable', 'in_doubt', 'missing'])
    .groupBy(['instance_id', 'stream', 'standing'])
    .execute();
  const reads = await db
    .selectFrom('coverage as c')
    .innerJoin('organizations as o', 'o.org_id', 'c.org_id')
    .select(['o.instance_id', 'c.stream', (eb) => eb.fn.max('c.verified_at').as('at')])
    .where('c.usage_date', '=', addDays(today, -1))
    .groupBy(['o.instance_id', 'c.stream'])
    .execute();
  const expiring = await db
    .selectFrom('coverage_gaps')
    .select(['instance_id', 'stream', (eb) => eb.fn.countAll<number>().as('cells')])
    .where('usage_date', '<', addDays(today, EXPIRING_DAYS - horizonDays))
    .groupBy(['instance_id', 'stream'])
    .execute();
  const reach = await db
    .selectFrom('freshness')
    .selectAll()
    .orderBy('instance_id')
    .orderBy('stream')
    .execute();
  return reach.map(({ instance_id: instanceId, stream, ...fresh }) => {
    const isOwn = (row: { instance_id: string; stream: string }) =>
      row.instance_id === instanceId && row.stream === stream;
    const countsOf = (rows: typeof cells) =>
      sumStandings(rows.filter(isOwn).map(({ standing, cells: count }) => ({ [standing]: count })));
    const { waiting, unavailable, in_doubt, missing } = countsOf(yesterday);
    return {
      /** Tracked cells up to yesterday by standing. */
      ...{ instanceId, stream, cells: countsOf(cells) },
      /** Cells of yesterday that are waiting or worse, by standing; the others of yesterday are stored or better. */
      yesterday: { waiting, unavailable, in_doubt, missing },
      /** The time of the newest accepted answer about yesterday. */
      yesterdayReadAt: reads.find(isOwn)?.at ?? null,
      /** The first tracked day, the newest that was read, and the last up to which nothing is missing. */
      ...{ trackedFrom: fresh.tracked_from, newestDay: fresh.newest_day, completeTo: fresh.complete_to },
      /** The organizations that exist and are tracked up to yesterday, and those of them without a missing day. */
      ...{ orgsTracked: fresh.orgs_tracked, orgsComplete: fresh.orgs_complete },
      ...{ gaps: fresh.gaps, orgsWithGaps: fresh.orgs_with_gaps, oldestGap: fresh.oldest_gap },
      /** The number of gaps whose day passes the horizon within the next 7 days. */
      expiring: expiring.find(isOwn)?.cells ?? 0,
    };
  });
}

async function readInstances(db: Kysely<Schema>, { nowMs }: HealthOptions) {
  const hosts = await readHostColumns(db);
  const instances = await db.selectFrom('instances').selectAll().orderBy('instance_id').execute();
  const leases = await db
    .selectFrom('leases as l')
    .select(['l.instance_id', 'l.run_id as runId', 'l.since', hosts.lease.as('host')])
    .where('l.until', '>', sql<Instant>`clock_timestamp()`)
    .orderBy('l.since')
    .execute();
  const organizations = await db
    .selectFrom('organizations')
    .select('instance_id')
    .select(({ fn }) => [
      fn.countAll<number>().filterWhere('removed_at', 'is', null).as('listed'),
      fn.countAll<number>().filterWhere('removed_at', 'is not', null).as('deleted'),
    ])
    .groupBy('instance_id')
    .execute();
  const quarantined = await db
    .selectFrom('quarantine as q')
    .innerJoin('organizations as o', 'o.org_id', 'q.org_id')
    .select(['o.instance_id', (eb) => eb.fn.countAll<number>().as('answers')])
    .where('q.resolved_at', 'is', null)
    .groupBy('o.instance_id')
    .execute();
  const runs = await db
    .selectFrom('runs as r')
    .select('r.instance_id')
    .select((eb) =>
      eb.fn
        .max('r.finished_at')
        .filterWhere((where) => where.and({ 'r.is_full': true, 'r.status': 'complete' }))
        .as('lastComplete'),
    )
    .where('r.finished_at', 'is not', null)
    .groupBy('r.instance_id')
    .execute();
  const changes = await countChanges(db, changesShownSince(nowMs));
  return instances.map(({ instance_id: instanceId, name, api_url, listed_at, list_problem }) => {
    const own = <Row extends { readonly instance_id: string }>(rows: readonly Row[]) =>
      rows.find((row) => row.instance_id === instanceId);
    const lease = own(leases);
    const changed = own(changes.finals);
    return {
      /** The list was complete when it was last listed, unless there is a reason why it was not. */
      ...{ instanceId, name, apiUrl: api_url, listedAt: listed_at, listProblem: list_problem },
      /** The organizations that exist in Losant, and those found deleted. */
      organizations: own(organizations)?.listed ?? 0,
      deletedOrganizations: own(organizations)?.deleted ?? 0,
      /** Whether any run of it has ended yet. */
      hasRun: own(runs) !== undefined,
      /** The end of the newest run over everything that left nothing due. */
      lastCompleteRunAt: own(runs)?.lastComplete ?? null,
      /** The process that exports it now, or the oldest of those that export a shard. */
      lease: lease === undefined ? null : { runId: lease.runId, host: lease.host, since: lease.since },
      /** The number of invalid answers that no good one has followed. */
      quarantined: own(quarantined)?.answers ?? 0,
      /** Numbers that changed although they were final, and any that were changed by hand, as the page counts them. */
      finalChanges30Days: changed?.recent ?? 0,
      finalChangesByHand30Days: changed?.recentByHand ?? 0,
      changesByHand30Days: own(changes.byHand)?.numbers ?? 0,
      finalChanges: changed?.all ?? 0,
    };
  });
}

/** `changesShownSince` returns the instant from which on a changed final number is shown. */
export function changesShownSince(nowMs: number): Instant {
  return new Date(nowMs - CHANGES_SHOWN_DAYS * DAY_MS).toISOString();
}
