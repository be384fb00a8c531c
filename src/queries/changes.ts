import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { matchesOf } from './organization-list.ts';

export interface ChangeQuery {
  /** Part of a name or referral id of organizations, or the beginning of an id; empty: all. */
  readonly search: string;
  /** Usage days; null: all. */
  readonly range: DayRange | null;
  /** Only numbers that were final before. */
  readonly onlyFinal: boolean;
  /** Only those that this run made; null: all. */
  readonly runId: string | null;
  /** Only changes older than the one of this id; null: from the newest on. */
  readonly beforeId: number | null;
}

export interface ChangeList {
  readonly changes: readonly ChangeLine[];
  /** For `beforeId` of the next page; null: there is none. */
  readonly nextId: number | null;
}

/** A change of one number: the view restatements. */
export interface ChangeLine {
  readonly instanceId: string;
  readonly orgId: string;
  readonly orgName: string;
  readonly day: UsageDay;
  readonly stream: string;
  readonly metric: string;
  readonly unit: string;
  readonly payloadType: string | null;
  readonly source: string | null;
  /** Null: none was held, or none is. */
  readonly old: number | null;
  readonly new: number | null;
  readonly difference: number;
  readonly wasFinal: boolean;
  /** Null if it was made by hand. */
  readonly runId: string | null;
  readonly changedBy: string;
  readonly changedAt: Instant;
}

/** Changes of cells; one of them may be of several numbers. */
const CHANGES_PER_PAGE = 50;

/** The changes that match, newest first. */
export async function readChangeList(db: Kysely<Schema>, query: ChangeQuery): Promise<ChangeList> {
  const { search, range, onlyFinal, runId, beforeId } = query;
  const { rows: found } = await sql<{ id: number }>`
    select r.id from losant_usage.revisions r
    where (${!onlyFinal} or r.was_final)
      and (${runId}::uuid is null or r.run_id = ${runId}::uuid)
      and (${beforeId}::bigint is null or r.id < ${beforeId}::bigint)
      and (${range?.from ?? null}::date is null
        or r.usage_date between ${range?.from ?? null}::date and ${range?.to ?? null}::date)
      and (${search} = '' or r.org_id = any (array(
        select o.org_id from losant_usage.organizations o where ${matchesOf(search)})))
    order by r.id desc limit ${CHANGES_PER_PAGE + 1}`.execute(db);
  const ids = found.slice(0, CHANGES_PER_PAGE).map(({ id }) => id);
  const { rows: changes } = await sql<ChangeLine>`
    select r.instance_id as "instanceId", r.org_id as "orgId", r.org_name as "orgName", r.usage_date as day,
      r.stream, r.metric, r.unit, r.payload_type as "payloadType", r.source, r.old_quantity as old,
      r.new_quantity as new, r.difference, r.was_final as "wasFinal", r.run_id as "runId",
      r.changed_by as "changedBy", r.changed_at as "changedAt"
    from losant_usage.restatements r join losant_usage.metrics m on m.metric = r.metric
    where r.revision_id = any (${ids}::bigint[])
    order by r.revision_id desc, m.position`.execute(db);
  return { changes, nextId: found.length > CHANGES_PER_PAGE ? (ids.at(-1) ?? null) : null };
}
