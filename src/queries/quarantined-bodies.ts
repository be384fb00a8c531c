import { gunzipSync } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

/** What Losant answered where it was invalid. */
export interface QuarantinedBody {
  readonly stream: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** The beginning of the bodies as they came, joined by line breaks. */
  readonly text: string;
  /** Whether there was more of them than `text`. */
  readonly isCut: boolean;
}

/** No more than that many answers, and characters of each, are handed out at once. */
const ANSWERS_MAX = 8;
const BODY_CHARACTERS_MAX = 4_096;
/** A body kept has up to 256 Ki characters; of what is larger than this no text is made. */
const BYTES_MAX = 4 * 1024 * 1024;

/** The bodies of invalid answers that hold the day, newest first; none for a role that may not see them. */
export async function readQuarantinedBodies(
  db: Kysely<Schema>,
  { orgId, day, streams }: { orgId: string; day: UsageDay; streams: readonly string[] | null },
): Promise<QuarantinedBody[]> {
  const { rows: rights } = await sql<{ isSeen: boolean }>`
    select has_column_privilege('losant_usage.quarantine', 'body_gzip', 'select') as "isSeen"`.execute(db);
  if (rights[0]?.isSeen !== true) return [];
  const { rows } = await sql<StoredBody>`
    select stream, from_date as "from", to_date as "to", body_gzip as gzip, body_truncated as "isTruncated"
    from losant_usage.quarantine
    where org_id = ${orgId} and ${day}::date between from_date and to_date and body_gzip is not null
      and (${streams}::text[] is null or stream = any (${streams}::text[]))
    order by last_seen_at desc, stream, from_date limit ${ANSWERS_MAX}`.execute(db);
  return rows.map(({ gzip, isTruncated, ...where }) => ({ ...where, ...beginningOf(gzip, isTruncated) }));
}

interface StoredBody {
  readonly stream: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  readonly gzip: Uint8Array;
  readonly isTruncated: boolean;
}

function beginningOf(gzip: Uint8Array, isTruncated: boolean): { text: string; isCut: boolean } {
  const whole = gunzipSync(gzip, { maxOutputLength: BYTES_MAX }).toString('utf8');
  const text = whole.slice(0, BODY_CHARACTERS_MAX).toWellFormed();
  return { text, isCut: isTruncated || text.length < whole.length };
}
