import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/open.ts';
import type { Instant, Schema } from '../database/schema.ts';
import type { ExportScope } from '../ledger/due.ts';
import type { RunKind } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import type { LosantClient } from '../losant/client.ts';
import type { UsageDay } from '../usage/day.ts';
import type { OrgSelection } from '../usage/organization.ts';
import type { ControlTotalUse, PeriodSource } from '../usage/period.ts';
import type { Ask } from '../usage/plan.ts';
import type { Policy } from '../usage/policy.ts';
import type { Shard } from '../usage/shard.ts';

/** An instance, and everything needed to export it. */
export interface InstanceContext {
  readonly handle: DatabaseHandle;
  /** The handle's. */
  readonly db: Kysely<Schema>;
  readonly client: LosantClient;
  readonly logger: Logger;
  readonly instanceId: string;
  readonly apiUrl: string;
  readonly selection: OrgSelection;
  /** All streams of the configuration. */
  readonly streams: readonly string[];
  readonly policy: Policy;
  readonly billingPeriods: PeriodSource;
  readonly controlTotals: ControlTotalUse;
  readonly concurrency: number;
  /** ms by the database's clock. */
  readonly now: () => number;
  /** The API's clock minus `now` in ms, as of the newest answer; null before the first. */
  readonly apiAheadMs: () => number | null;
  /** Requests sent so far. */
  readonly requestCount: () => number;
  /** Shares the token's rate among so many runs. */
  readonly shareRate: (liveRuns: number) => void;
  readonly host: string;
  readonly version: string;
}

export interface Progress {
  readonly planned: number;
  readonly done: number;
}

/** What a run would do, added up over all pages. */
export interface PlanSummary {
  readonly instanceId: string;
  /** Oldest and newest day read; null if none is. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly orgs: number;
  /** Cells to be read. */
  readonly cells: number;
  /** The same by why they are read. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Requests if each is answered at once, discovery not counted. */
  readonly requests: number;
  /** Cells that will be marked unavailable, without a request. */
  readonly unavailable: number;
  /** Cells that are missing, but not due for another try. */
  readonly waiting: number;
  /** Cells of the range that Losant no longer keeps, left out. */
  readonly pastHorizon: number;
}

/** What a complete run over everything found of the organizations. */
export interface Settled {
  /** The listing that it stands on. */
  readonly listedAt: Instant;
  /** Organizations Losant has that the configuration leaves out. */
  readonly excluded: number;
}

export interface RunOptions {
  readonly kind: RunKind;
  readonly runId: string;
  /** Undefined: everything that is due. */
  readonly ask?: Ask | undefined;
  /** Only these organizations; null: all that are configured. */
  readonly orgIds: readonly string[] | null;
  /** Only this part of them. */
  readonly shard?: Shard | null | undefined;
  /** Only these of the configured streams. */
  readonly streams: readonly string[];
  readonly signal: AbortSignal;
  /** What the run before it, of the same process and configuration, left in order. */
  readonly settled?: Settled | undefined;
  /** Told what will be read, before anything is. */
  readonly onPlan?: ((plan: PlanSummary) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * The part of the instance that a run is about. What is due without a choice of streams is due of all that
 * are tracked, also of one that was taken out since; what is asked for is of the configured ones only.
 */
export function scopeOf(
  { instanceId, streams }: Pick<InstanceContext, 'instanceId' | 'streams'>,
  { ask, orgIds, shard, streams: wanted }: Pick<RunOptions, 'ask' | 'orgIds' | 'shard' | 'streams'>,
): ExportScope {
  const isAll = ask === undefined && streams.every((stream) => wanted.includes(stream));
  return { instanceId, orgIds, shard: shard ?? null, streams: isAll ? null : wanted };
}

/** Whether a run reads all that is due of its instance, so that its success says that nothing is missing. */
export function isFullRun(
  { streams }: InstanceContext,
  { kind, ask, orgIds, shard, streams: wanted }: RunOptions,
): boolean {
  const isAll = streams.every((stream) => wanted.includes(stream));
  return kind !== 'backfill' && ask === undefined && orgIds === null && shard == null && isAll;
}
