/** Loads responses: applies each to its locked cell, and writes numbers, revisions and ledger in one transaction. */

import { hash } from 'node:crypto';
import { isDeepStrictEqual, promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import { recordsOf } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { isConnectionLost, retryTransaction } from '../database/sqlstate.ts';
import { applyResponse } from '../usage/apply.ts';
import { type CellResponse, type CellUpdate, cellId, compareText, type StoredCell } from '../usage/cell.ts';
import { dayEndMs, mergeDays } from '../usage/day.ts';
import { keysOf, liftWaivers, lockCells, writeCells, writeNumbers } from './coverage.ts';
import { inTransaction, type LedgerWriter, requireDatabaseClock } from './lease.ts';

/** The ledger as a run writes it. */
export interface RunLedger extends LedgerWriter {
  readonly runId: string;
}

/**
 * Loads a batch in one transaction, whose first locks are the rows of `coverage` in key order, and again if the
 * connection was lost. Throws BusyError `lease_lost` if another process has taken over, and AppError `clock_skew` if
 * clocks have drifted apart.
 */
export async function loadBatch(
  ledger: RunLedger,
  responses: readonly CellResponse[],
  signal?: AbortSignal,
): Promise<CellUpdate[]> {
  const { runId, policy } = ledger;
  let updates: CellUpdate[] = [];
  const load = async (trx: Kysely<Schema>, atMs: number) => {
    for (const response of responses) requireSentInTime(response, atMs);
    const streams = [...new Set(responses.map(({ stream }) => stream))];
    const lockedCells = await lockCells(trx, responses, streams);
    // An earlier attempt was committed, and the connection was lost before the confirmation arrived.
    if (updates.length > 0 && areStored(updates, lockedCells)) return;
    updates = responses.map((response) => {
      const cell = lockedCells.get(cellId(response));
      if (cell === undefined) throw new Error(`the cell ${cellId(response)} has no row`);
      return applyResponse({ cell, response, policy });
    });
    await writeCells(trx, cellsOf(updates), runId);
    await writeNumbers(trx, cellsOf(updates.filter(hasNewNumbers)));
    await recordRevisions(trx, updates, { runId, reason: null });
    await recordQuarantine(trx, responses, runId);
    const liftedCells = cellsOf(updates.filter(isWaiverLifted));
    if (liftedCells.length > 0) await liftWaivers(keysOf(liftedCells), runId).execute(trx);
  };
  await retryTransaction(() => inTransaction(ledger, load), { canRetry: isConnectionLost, signal });
  return updates;
}

function areStored(updates: readonly CellUpdate[], cells: ReadonlyMap<string, StoredCell>): boolean {
  return updates.every(({ cell }) => isDeepStrictEqual(cells.get(cellId(cell)), cell));
}

const cellsOf = (updates: readonly CellUpdate[]) => updates.map(({ cell }) => cell);
const hasNewNumbers = ({ previous, cell }: CellUpdate) => cell.revision > previous.revision;
const isWaiverLifted = ({ previous, cell }: CellUpdate) => previous.standing === 'waived' && cell.standing !== 'waived';

/** Catches a clock that jumped and came back: every request is sent after its day has ended, and not in the future. */
function requireSentInTime({ day, sentAtMs }: CellResponse, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/**
 * Adds a revision for each change of stored numbers. The first load of a cell is not a change. A change by a run has no
 * `reason`; one by a person has no `runId`.
 */
export async function recordRevisions(
  trx: Kysely<Schema>,
  updates: readonly Pick<CellUpdate, 'previous' | 'cell' | 'differences'>[],
  { runId, reason }: { readonly runId: string | null; readonly reason: string | null },
): Promise<void> {
  const rows = updates.flatMap(({ previous, cell, differences }) => {
    const { orgId, stream, day, revision } = cell;
    const key = { org_id: orgId, stream, usage_date: day, revision };
    return differences === null ? [] : [{ ...key, ...differences, was_final: previous.wasFinal }];
  });
  if (rows.length === 0) return;
  await sql`
    insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id, reason)
    select n.org_id, n.stream, n.usage_date, n.revision, n.old, n.new, n.was_final, ${runId}::uuid, ${reason}::text
    from ${recordsOf('revisions', rows)} as n order by n.usage_date, n.org_id, n.stream`.execute(trx);
}

/** Longer bodies are cut: UTF-16 code units, before compression. */
const BODY_LENGTH_MAX = 256 * 1024;

const compress = promisify(gzip);

/**
 * Quarantines a row per problem and range of days, unless the newest one of these days has the same body, or the same
 * problem and is less than a day old: a proxy may send another page each time, for weeks.
 */
async function recordQuarantine(trx: Kysely<Schema>, responses: readonly CellResponse[], runId: string): Promise<void> {
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
        select q.reason = ${code} and (q.body_sha256 = ${sha256}::bytea
          or (q.detail = ${detail} and q.seen_at > clock_timestamp() - interval '1 day'))
        from losant_usage.quarantine q
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
