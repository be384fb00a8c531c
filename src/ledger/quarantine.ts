import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CellResponse, cellId, compareText } from '../usage/cell.ts';
import { mergeDays } from '../usage/day.ts';

/** The length of a body that is kept, in UTF-16 code units before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);

/** The answers to a slice, and the bodies that they were read from, as received and in request order. */
export interface SliceResponse {
  readonly answers: readonly CellResponse[];
  readonly texts: readonly string[];
}

/**
 * Keeps the bodies of quarantined cells, in the run's transaction: once for each problem and the days in a row that
 * have it, unless equal to the newest of these days.
 */
export async function recordQuarantine(
  trx: Kysely<Schema>,
  batch: readonly SliceResponse[],
  runId: string,
): Promise<void> {
  const problems = batch.flatMap(findProblems).toSorted((a, b) => compareText(cellId(a), cellId(b)));
  for (const { orgId, stream, from, to, code, detail, texts } of problems) {
    const text = texts.join('\n');
    const sha256 = hash('sha256', text, 'buffer');
    const body = texts.length === 0 ? null : await compress(text.slice(0, BODY_LENGTH_MAX));
    await sql`
      insert into losant_usage.quarantine
        (org_id, stream, first_day, last_day, reason, detail, body_gzip, body_sha256, body_truncated, run_id)
      select ${orgId}, ${stream}, ${from}::date, ${to}::date, ${code}, ${detail}, ${body}::bytea, ${sha256}::bytea,
        ${text.length > BODY_LENGTH_MAX}::boolean, ${runId}::uuid
      where (
        select q.reason = ${code} and q.body_sha256 = ${sha256}::bytea from losant_usage.quarantine q
        where q.org_id = ${orgId} and q.stream = ${stream} and q.first_day = ${from}::date and q.last_day = ${to}::date
        order by q.id desc limit 1
      ) is not true`.execute(trx);
  }
}

/** Returns what was wrong with the answers to a slice. */
function findProblems({ answers, texts }: SliceResponse) {
  const bad = answers.flatMap(({ verdict, ...key }) => {
    return verdict.kind === 'quarantined' ? [{ ...key, ...verdict }] : [];
  });
  const groups = Map.groupBy(bad, ({ code, detail }) => `${code} ${detail}`);
  return [...groups.values()].flatMap((group) => {
    const first = group[0] as (typeof bad)[number];
    return mergeDays(group.map(({ day }) => day)).map((range) => ({ ...first, ...range, texts }));
  });
}
