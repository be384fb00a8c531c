import { type InferResult, type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';

/** A run with everything recorded about it that a reader may see. */
export type RunRecord = InferResult<ReturnType<typeof selectRuns>>[number];

/** Returns the newest runs of each of the instances, the newest of all first. */
export async function readLastRuns(
  db: Kysely<Schema>,
  { instanceIds, perInstance }: { readonly instanceIds: readonly string[]; readonly perInstance: number },
): Promise<RunRecord[]> {
  return await db
    .selectFrom('instances as i')
    .innerJoinLateral(
      selectRuns(db)
        .where((eb) => eb('r.instance_id', '=', sql.ref<string>('i.instance_id')))
        .orderBy('r.started_at', 'desc')
        .limit(perInstance)
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
