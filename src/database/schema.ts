import type { Generated, JSONColumnType } from 'kysely';
import type { UsageDay } from '../usage/day.ts';

/**
 * The tables of schema `losant_usage` that are queried by kysely's builder, as
 * both drivers hand them out: dates as `YYYY-MM-DD`, times as ISO text in UTC,
 * bigint as a safe integer. What each column means is said once, in its comment
 * in `migrations/`. All other queries are SQL.
 */
export interface Schema {
  instances: InstancesTable;
  organizations: OrganizationsTable;
  runs: RunsTable;
}

/** ISO-8601 UTC with milliseconds, e.g. `2026-11-24T00:15:00.000Z`. */
export type Instant = string;

export type RunKind = 'scheduled' | 'manual' | 'backfill';
export type RunStatus = 'running' | 'complete' | 'partial' | 'failed' | 'interrupted';

interface InstancesTable {
  instance_id: string;
  name: string | null;
  api_url: string;
  tracked_from: UsageDay;
  streams_from: JSONColumnType<Record<string, UsageDay>>;
  listed_at: Instant | null;
  list_problem: string | null;
  lease_run_id: string | null;
  lease_host: string | null;
  lease_since: Instant | null;
  lease_until: Instant | null;
}

interface OrganizationsTable {
  org_id: string;
  instance_id: string;
  name: string;
  tags: JSONColumnType<readonly { key: string; value: string }[]>;
  last_seen_at: Instant;
  removed_at: Instant | null;
}

interface RunsTable {
  run_id: string;
  instance_id: string;
  status: RunStatus;
  from_date: UsageDay | null;
  to_date: UsageDay | null;
  heartbeat_at: Instant;
  finished_at: Instant | null;
  orgs: Generated<number>;
  cells_planned: Generated<number>;
  cells_loaded: Generated<number>;
  cells_unchanged: Generated<number>;
  cells_absent: Generated<number>;
  cells_failed: Generated<number>;
  cells_quarantined: Generated<number>;
  cells_unavailable: Generated<number>;
  cells_restated: Generated<number>;
  cells_restated_final: Generated<number>;
  rows_inserted: Generated<number>;
  rows_updated: Generated<number>;
  rows_deleted: Generated<number>;
  rows_unchanged: Generated<number>;
  requests: Generated<number>;
  failures: JSONColumnType<readonly object[]>;
  error: string | null;
}
