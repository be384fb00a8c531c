import { type Kysely, sql } from 'kysely';
import type { Instant, RunKind, RunStatus, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/hosts.ts';
import type { UsageDay } from '../usage/day.ts';

/** A run on record. */
export interface RunSummary {
  readonly runId: string;
  readonly instanceId: string;
  readonly kind: RunKind;
  readonly status: RunStatus;
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly startedAt: Instant;
  readonly finishedAt: Instant | null;
  /** Null for who may not see it. */
  readonly host: string | null;
  readonly version: string;
  readonly cells: { readonly planned: number; readonly failed: number; readonly quarantined: number };
  readonly error: string | null;
}

/** The newest runs of each instance, newest first. */
export async function readLastRuns(db: Kysely<Schema>, perInstance: number): Promise<RunSummary[]> {
  const hosts = await readHostColumns(db);
  const { rows } = await sql<RunSummary>`
    select r.run_id as "runId", r.instance_id as "instanceId", r.kind, r.status, r.from_date as "from", r.to_date as "to",
      r.started_at as "startedAt", r.finished_at as "finishedAt", r.host, r.version,
      json_build_object('planned', r.cells_planned, 'failed', r.cells_failed, 'quarantined', r.cells_quarantined) as cells,
      r.error
    from losant_usage.instances i
    cross join lateral (
      select r.run_id, r.instance_id, r.kind, r.status, r.from_date, r.to_date, r.started_at, r.finished_at,
        ${hosts.run} as host, r.version, r.cells_planned, r.cells_failed, r.cells_quarantined, r.error
      from losant_usage.runs r where r.instance_id = i.instance_id
      order by r.started_at desc limit ${perInstance}
    ) as r
    order by r.instance_id, r.started_at desc`.execute(db);
  return rows;
}
