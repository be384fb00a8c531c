import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CellResponse, cellId, compareText } from '../usage/cell.ts';
import { mergeDays } from '../usage/day.ts';

/** Longer bodies are cut: UTF-16 code units, before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);

/**
 * Quarantines the bodies of invalid responses: a row per problem and range of consecutive days. A row that would equal
 * the newest one of its days is not added.
 */
export async function recordQuarantine(
  trx: Kysely<Schema>,
  responses: readonly CellResponse[],
  runId: string,
): Promise<void> {
  const problems = findProblems(responses).toSorted((a, b) => compareText(cellId(a), cellId(b)));
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

/** Returns the problems of each slice, each with a range of consecutive days. */
function findProblems(responses: readonly CellResponse[]) {
  const quarantined = responses.flatMap(({ verdict, ...response }) => {
    return verdict.kind === 'quarantined' ? [{ ...response, ...verdict }] : [];
  });
  const slices = Map.groupBy(quarantined, ({ texts }) => texts).values();
  const groups = [...slices].flatMap((slice) => [
    ...Map.groupBy(slice, ({ code, detail }) => `${code} ${detail}`).values(),
  ]);
  return groups.flatMap((group) => {
    const first = group[0] as (typeof quarantined)[number];
    return mergeDays(group.map(({ day }) => day)).map((range) => ({ ...first, ...range }));
  });
}
