import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { CellKey } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import { keysOf } from './coverage.ts';

/** The length of a body that is kept, in UTF-16 code units before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);
/** The time at which the transaction that loads the answer began. */
const NOW = sql<Instant>`now()`;

/** An invalid answer for a day or a window of days. */
export interface QuarantinedBody {
  readonly orgId: string;
  readonly stream: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /**
   * The days of the window that were to be read, all of them by default. No good answer is expected for
   * the others.
   */
  readonly asked?: readonly UsageDay[] | undefined;
  readonly code: string;
  readonly problem: string;
  /** The bodies as text, in request order. */
  readonly bodies: readonly string[];
}

/** Stores each body, one row per window, with the number of times it was seen. */
export async function recordQuarantine(
  trx: Kysely<Schema>,
  quarantined: readonly QuarantinedBody[],
  runId: string,
): Promise<void> {
  for (const { orgId, stream, from, to, asked = null, code, problem, bodies } of quarantined) {
    const text = bodies.join('\n');
    const body = await compress(text.slice(0, BODY_LENGTH_MAX));
    // No good answer is expected for days that were not to be read.
    const others = sql<string>`coalesce((
      select datemultirange(daterange(${from}::date, ${to}::date + 1)) - range_agg(daterange(day, day + 1))
      from unnest(${asked}::date[]) as day), '{}')`;
    await trx
      .insertInto('quarantine')
      .values({
        ...{ org_id: orgId, stream, from_date: from, to_date: to, code, problem, body_gzip: body },
        ...{ body_truncated: text.length > BODY_LENGTH_MAX, first_seen_at: NOW, last_seen_at: NOW },
        ...{ resolved_days: others, run_id: runId },
      })
      .onConflict((conflict) =>
        conflict.columns(['org_id', 'stream', 'from_date', 'to_date']).doUpdateSet((eb) => ({
          ...Object.fromEntries(RENEWED.map((column) => [column, eb.ref(`excluded.${column}`)])),
          times: eb('quarantine.times', '+', 1),
          // A day that this answer was not asked for still lacks its good answer.
          resolved_days: sql<string>`quarantine.resolved_days * excluded.resolved_days`,
          resolved_at: null,
        })),
      )
      .execute();
  }
}

/** The columns that the newest answer for a window replaces. */
const RENEWED = ['code', 'problem', 'body_gzip', 'body_truncated', 'last_seen_at', 'run_id'] as const;

/**
 * `resolveQuarantine` closes the quarantine of cells that have since had a good answer; a window is closed
 * when all its days have had one.
 */
export async function resolveQuarantine(trx: Kysely<Schema>, cells: readonly CellKey[]): Promise<void> {
  if (cells.length === 0) return;
  const window = sql`datemultirange(daterange(q.from_date, q.to_date + 1))`;
  await trx
    .updateTable('quarantine as q')
    .from((eb) =>
      eb
        .selectFrom(keysOf(cells))
        .select(['k.org_id', 'k.stream'])
        .select(sql<string>`range_agg(daterange(k.usage_date, k.usage_date + 1))`.as('days'))
        .groupBy(['k.org_id', 'k.stream'])
        .as('k'),
    )
    .set({
      resolved_days: sql<string>`q.resolved_days + k.days * ${window}`,
      resolved_at: sql<Instant>`case when ${window} <@ (q.resolved_days + k.days) then now() end`,
    })
    .whereRef('q.org_id', '=', 'k.org_id')
    .whereRef('q.stream', '=', 'k.stream')
    .where('q.resolved_at', 'is', null)
    .where(sql<boolean>`daterange(q.from_date, q.to_date + 1) && k.days`)
    .execute();
}
