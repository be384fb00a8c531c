import { type Kysely, sql } from 'kysely';
import type { Instant, RunKind, RunStatus, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/hosts.ts';
import type { UsageDay } from '../usage/day.ts';

export interface RunQuery {
  /** Null: every one. */
  readonly instanceId: string | null;
  readonly kind: RunKind | null;
  readonly status: RunStatus | null;
  /** From 1. */
  readonly page: number;
}

export interface RunList {
  /** How many match. */
  readonly count: number;
  readonly runs: readonly RunRecord[];
}

/** A run with all that is on record of it. */
export interface RunRecord {
  readonly runId: string;
  readonly instanceId: string;
  readonly kind: RunKind;
  readonly status: RunStatus;
  /** Usage days read; null: none was. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly streams: readonly string[];
  readonly startedAt: Instant;
  readonly heartbeatAt: Instant;
  readonly finishedAt: Instant | null;
  /** Null for who may not see it. */
  readonly host: string | null;
  readonly version: string;
  readonly orgs: number;
  readonly planned: number;
  readonly loaded: number;
  readonly unchanged: number;
  readonly absent: number;
  readonly failed: number;
  readonly quarantined: number;
  readonly unavailable: number;
  readonly restated: number;
  readonly restatedFinal: number;
  readonly requests: number;
  /** What failed, grouped by cause, the most frequent first. */
  readonly failures: readonly RunFailure[];
  readonly error: string | null;
}

/** Failures that are alike, as they are kept with the run. */
export interface RunFailure {
  readonly code: string;
  /** The first of them. */
  readonly message: string;
  readonly stream: string | null;
  readonly cells: number;
  readonly orgs: number;
  /** An organization it happened to. */
  readonly example: string | null;
}

export const RUNS_PER_PAGE = 50;

/** A page of the runs that match, newest first. */
export async function readRunList(db: Kysely<Schema>, query: RunQuery): Promise<RunList> {
  const { instanceId, kind, status, page } = query;
  const matches = sql`(${instanceId}::text is null or r.instance_id = ${instanceId})
    and (${kind}::text is null or r.kind = ${kind}) and (${status}::text is null or r.status = ${status})`;
  const total = await sql<{ count: number }>`
    select count(*) as count from losant_usage.runs r where ${matches}`.execute(db);
  const { rows } = await sql<RunRecord>`
    select ${await columnsOf(db)} from losant_usage.runs r where ${matches}
    order by r.started_at desc, r.run_id
    limit ${RUNS_PER_PAGE} offset ${(page - 1) * RUNS_PER_PAGE}`.execute(db);
  return { count: total.rows[0]?.count ?? 0, runs: rows };
}

/** One run; null if it is not on record. */
export async function readRun(db: Kysely<Schema>, runId: string): Promise<RunRecord | null> {
  const { rows } = await sql<RunRecord>`
    select ${await columnsOf(db)} from losant_usage.runs r where r.run_id = ${runId}::uuid`.execute(db);
  return rows[0] ?? null;
}

async function columnsOf(db: Kysely<Schema>) {
  const hosts = await readHostColumns(db);
  return sql`r.run_id as "runId", r.instance_id as "instanceId", r.kind, r.status, r.from_date as "from",
    r.to_date as "to", r.streams, r.started_at as "startedAt", r.heartbeat_at as "heartbeatAt",
    r.finished_at as "finishedAt", ${hosts.run} as host, r.version, r.orgs, r.cells_planned as planned,
    r.cells_loaded as loaded, r.cells_unchanged as unchanged, r.cells_absent as absent, r.cells_failed as failed,
    r.cells_quarantined as quarantined, r.cells_unavailable as unavailable, r.cells_restated as restated,
    r.cells_restated_final as "restatedFinal", r.requests, r.failures, r.error`;
}
