import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { CellKey } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';

/** How much of the bodies is kept, in UTF-16 code units before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);

/** An answer that was invalid, for a day or a window of days. */
export interface QuarantinedBody {
  readonly orgId: string;
  readonly stream: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** The days of them that were to be read: no good answer is to be waited for of the others. Without it, all. */
  readonly asked?: readonly UsageDay[] | undefined;
  readonly code: string;
  readonly problem: string;
  /** The bodies as text, in request order. */
  readonly bodies: readonly string[];
}

/** Keeps each body, one row per window, counting how often it was seen. */
export async function recordQuarantine(
  trx: Kysely<Schema>,
  quarantined: readonly QuarantinedBody[],
  runId: string,
): Promise<void> {
  for (const { orgId, stream, from, to, asked = null, code, problem, bodies } of quarantined) {
    const text = bodies.join('\n');
    const body = await compress(text.slice(0, BODY_LENGTH_MAX));
    await sql`
      insert into losant_usage.quarantine as q
        (org_id, stream, from_date, to_date, code, problem, body_gzip, body_truncated, first_seen_at, last_seen_at,
          resolved_days, run_id)
      values (${orgId}, ${stream}, ${from}, ${to}, ${code}, ${problem}, ${body}, ${text.length > BODY_LENGTH_MAX},
        now(), now(), coalesce((
          select datemultirange(daterange(${from}::date, ${to}::date + 1)) - range_agg(daterange(day, day + 1))
          from unnest(${asked}::date[]) as day), '{}'), ${runId})
      on conflict (org_id, stream, from_date, to_date) do update set
        code = excluded.code, problem = excluded.problem, body_gzip = excluded.body_gzip,
        body_truncated = excluded.body_truncated, times = q.times + 1, last_seen_at = excluded.last_seen_at,
        resolved_days = excluded.resolved_days, resolved_at = null, run_id = excluded.run_id`.execute(trx);
  }
}

/** Closes what was kept for cells that have since had a good answer; a window when all its days had one. */
export async function resolveQuarantine(trx: Kysely<Schema>, cells: readonly CellKey[]): Promise<void> {
  if (cells.length === 0) return;
  await sql`
    update losant_usage.quarantine q set
      resolved_days = q.resolved_days + k.days * datemultirange(daterange(q.from_date, q.to_date + 1)),
      resolved_at = case when datemultirange(daterange(q.from_date, q.to_date + 1)) <@ (q.resolved_days + k.days)
        then now() end
    from (
      select org_id, stream, range_agg(daterange(day, day + 1)) as days
      from unnest(${cells.map(({ orgId }) => orgId)}::text[], ${cells.map(({ stream }) => stream)}::text[],
                  ${cells.map(({ day }) => day)}::date[]) as k (org_id, stream, day)
      group by org_id, stream
    ) as k
    where q.org_id = k.org_id and q.stream = k.stream and q.resolved_at is null
      and daterange(q.from_date, q.to_date + 1) && k.days`.execute(trx);
}
