import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { compareText } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';

/** The length of a body that is kept, in UTF-16 code units before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);

/** An invalid answer for a day or a window of days. */
export interface QuarantinedBody {
  readonly orgId: string;
  readonly stream: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  readonly code: string;
  readonly problem: string;
  /** The bodies as text, in request order. */
  readonly bodies: readonly string[];
}

/** Adds invalid answers to the record, in the run's transaction, unless equal to the newest of their window. */
export async function recordQuarantine(
  trx: Kysely<Schema>,
  quarantined: readonly QuarantinedBody[],
  runId: string,
): Promise<void> {
  const sorted = quarantined.toSorted((a, b) => compareText(keyOf(a), keyOf(b)));
  for (const { orgId, stream, from, to, code, problem, bodies } of sorted) {
    const text = bodies.join('\n');
    const sha256 = hash('sha256', text, 'buffer');
    const body = bodies.length === 0 ? null : await compress(text.slice(0, BODY_LENGTH_MAX));
    await sql`
      insert into losant_usage.quarantine
        (org_id, stream, from_date, to_date, code, problem, body_gzip, body_sha256, body_truncated, run_id)
      select ${orgId}, ${stream}, ${from}::date, ${to}::date, ${code}, ${problem}, ${body}::bytea, ${sha256}::bytea,
        ${text.length > BODY_LENGTH_MAX}::boolean, ${runId}::uuid
      where (
        select q.code = ${code} and q.body_sha256 = ${sha256}::bytea from losant_usage.quarantine q
        where q.org_id = ${orgId} and q.stream = ${stream} and q.from_date = ${from}::date and q.to_date = ${to}::date
        order by q.id desc limit 1
      ) is not true`.execute(trx);
  }
}

function keyOf({ from, orgId, stream }: QuarantinedBody): string {
  return `${from} ${orgId} ${stream}`;
}
