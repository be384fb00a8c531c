import type { ColumnType, Generated, JSONColumnType } from 'kysely';
import type { UsageDay } from '../usage/day.ts';

/**
 * The tables of schema `losant_usage` as both drivers hand them out: dates as
 * `YYYY-MM-DD`, times as ISO text in UTC, bigint as a safe integer. What each
 * column means is said once, in its comment in `migrations/`.
 */
export interface Schema {
  instances: InstancesTable;
  organizations: OrganizationsTable;
  organization_history: OrganizationHistoryTable;
  tracking: TrackingTable;
  coverage: CoverageTable;
  runs: RunsTable;
  revisions: RevisionsTable;
  quarantine: QuarantineTable;
  device_counts: FactTable & Record<'created' | 'deleted' | 'total', number>;
  notebook_minutes: FactTable & Record<'minutes' | 'completed' | 'canceled' | 'errored' | 'timeout', number>;
  payload_totals: FactTable & Record<'billable_count' | 'all_count' | 'all_bytes', number>;
  payload_sources: FactTable & Record<'payload_type' | 'source', string> & { count: number };
}

/** ISO-8601 UTC with milliseconds, e.g. `2026-11-24T00:15:00.000Z`. */
export type Instant = string;

export type CellState = 'loaded' | 'final' | 'absent' | 'quarantined' | 'failed' | 'unavailable' | 'waived';
export type RunKind = 'scheduled' | 'manual' | 'backfill';
export type RunStatus = 'running' | 'complete' | 'partial' | 'failed' | 'interrupted';

export interface InstancesTable {
  instance_id: string;
  api_url: string;
  tracked_from: UsageDay;
  streams_from: JSONColumnType<Record<string, UsageDay>>;
  listed_at: Instant | null;
  lease_run_id: string | null;
  lease_host: string | null;
  lease_since: Instant | null;
  lease_until: Instant | null;
  lease_epoch: Generated<number>;
}

interface OrganizationAttributes {
  org_id: string;
  instance_id: string;
  name: string;
  tags: JSONColumnType<readonly { key: string; value: string }[]>;
  referral_id: string | null;
  plan_id: string | null;
  customer_id: string | null;
  limits: JSONColumnType<Record<string, number>>;
  is_read_only: boolean;
  disabled_at: Instant | null;
  current_period_start: Instant | null;
  current_period_end: Instant | null;
}

export interface OrganizationsTable extends OrganizationAttributes {
  created_at: Instant | null;
  first_seen_at: Instant;
  last_seen_at: Instant;
  removed_at: Instant | null;
}

export interface OrganizationHistoryTable extends OrganizationAttributes {
  valid_from: Instant;
  valid_to: Instant | null;
}

export interface TrackingTable {
  org_id: string;
  stream: string;
  tracked_from: UsageDay;
  tracked_to: UsageDay | null;
  expired_to: UsageDay | null;
}

export interface CoverageTable {
  usage_date: UsageDay;
  stream: string;
  org_id: string;
  state: CellState;
  reported: Generated<boolean>;
  revision: Generated<number>;
  verified_at: Instant | null;
  attempted_at: Instant | null;
  attempts: Generated<number>;
  next_attempt_at: Instant | null;
  error_code: string | null;
  error_message: string | null;
  response_sha256: string | null;
  run_id: string | null;
  first_loaded_at: Instant | null;
  finalized_at: Instant | null;
}

export interface RunsTable {
  run_id: string;
  instance_id: string;
  kind: RunKind;
  status: RunStatus;
  from_date: UsageDay | null;
  to_date: UsageDay | null;
  streams: string[];
  started_at: Instant;
  heartbeat_at: Instant;
  finished_at: Instant | null;
  host: string;
  version: string;
  orgs: Generated<number>;
  cells_planned: Generated<number>;
  cells_loaded: Generated<number>;
  cells_unchanged: Generated<number>;
  cells_absent: Generated<number>;
  cells_failed: Generated<number>;
  cells_quarantined: Generated<number>;
  cells_unavailable: Generated<number>;
  rows_inserted: Generated<number>;
  rows_updated: Generated<number>;
  rows_deleted: Generated<number>;
  rows_unchanged: Generated<number>;
  requests: Generated<number>;
  error: string | null;
}

export interface RevisionsTable {
  id: ColumnType<number, never, never>;
  stream: string;
  org_id: string;
  usage_date: UsageDay;
  revision: number;
  key: JSONColumnType<Record<string, string>>;
  old: JSONColumnType<Record<string, number>> | null;
  new: JSONColumnType<Record<string, number>> | null;
  run_id: string | null;
  changed_by: string;
  changed_at: Instant;
}

export interface QuarantineTable {
  org_id: string;
  stream: string;
  from_date: UsageDay;
  to_date: UsageDay;
  code: string;
  problem: string;
  body_gzip: Buffer | null;
  body_truncated: Generated<boolean>;
  times: Generated<number>;
  first_seen_at: Instant;
  last_seen_at: Instant;
  resolved_at: Instant | null;
  run_id: string | null;
}

interface FactTable {
  usage_date: UsageDay;
  org_id: string;
  run_id: string | null;
  revision: Generated<number>;
  loaded_at: Generated<Instant>;
}
