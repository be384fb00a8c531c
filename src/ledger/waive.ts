import { type Kysely, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { type Acceptance, acceptByPerson, isAcceptable } from '../usage/apply.ts';
import { type AppliedCell, type CellKey, cellId, unchanged } from '../usage/cell.ts';
import { zerosOf } from '../usage/cross-check.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { changeCells, keysOf, type LockedCells } from './coverage.ts';
import { beginWriting } from './lease.ts';

export interface Waiver {
  readonly orgId: string;
  readonly stream: string;
  readonly range: DayRange;
  readonly reason: string;
  /** Whether to store the zero that Losant's omission stands for instead of the stored number. */
  readonly asZero: boolean;
}

/**
 * Accepts the cells of the range as they stand, or as zero, all of them or none, and records who and
 * why. The next good read of a cell lifts the waiver. Repeating it replaces the reason. Throws
 * SettingsError if a cell of the range is all right, will become so by itself, or is not tracked.
 */
export async function waiveCells(db: Kysely<Schema>, waiver: Waiver): Promise<UsageDay[]> {
  const { orgId, stream, range, reason } = waiver;
  return await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    const isEnded = await requireTracked(trx, waiver);
    const keys = eachDay(range).map((day) => ({ orgId, stream, day }));
    const acceptance = { message: reason, asZero: waiver.asZero, isEnded };
    // A cell that a run has added meanwhile is judged by its reading.
    await changeCells(trx, { keys, runId: null }, (locked) => acceptCells(keys, locked, acceptance));
    await liftWaivers(trx, keys, null);
    await trx
      .insertInto('waivers')
      .columns(['usage_date', 'stream', 'org_id', 'reason'])
      .expression((eb) =>
        eb
          .selectFrom(keysOf(keys))
          .select(['k.usage_date', 'k.stream', 'k.org_id', sql<string>`${reason}`.as('reason')]),
      )
      .execute();
    return keys.map(({ day }) => day);
  });
}

/** `acceptCells` accepts locked cells. Throws SettingsError if one of them is all right. */
function acceptCells(
  keys: readonly CellKey[],
  { rows, numbersOf }: LockedCells,
  acceptance: Acceptance,
): AppliedCell[] {
  const refused = keys.filter((key) => !isAcceptable(rows.get(cellId(key)) ?? null, acceptance));
  if (refused.length > 0) throw refusal(refused.map(({ day }) => day));
  return keys.map((key) => {
    const before = rows.get(cellId(key)) ?? null;
    const numbers = numbersOf(key);
    const cell = acceptByPerson(before, numbers, acceptance);
    const facts = cell.revision === (before?.revision ?? 0) ? null : zerosOf(key.stream);
    return { ...key, ...unchanged, before, numbers, cell, facts };
  });
}

/** `liftWaivers` ends the waivers of cells that had a good read or get another reason. */
export async function liftWaivers(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
  runId: string | null,
): Promise<void> {
  if (keys.length === 0) return;
  await trx
    .updateTable('waivers as w')
    .from(keysOf(keys))
    .set({ lifted_at: CLOCK, lifted_by_run: runId })
    .whereRef('w.usage_date', '=', 'k.usage_date')
    .whereRef('w.stream', '=', 'k.stream')
    .whereRef('w.org_id', '=', 'k.org_id')
    .where('w.lifted_at', 'is', null)
    .execute();
}

const HINT =
  'a number is accepted where it is missing, in doubt, unavailable or will not become final: losant-usage gaps --all lists them';

function refusal(days: readonly UsageDay[]): SettingsError {
  const shown = days.slice(0, 10).join(', ');
  const more = days.length > 10 ? ` and ${days.length - 10} more` : '';
  return new SettingsError(`Nothing was waived: the number is stored, and all right, for ${shown}${more}`, {
    hint: HINT,
  });
}

/** Whether the tracking has ended. Throws SettingsError if a day of the range is not tracked. */
async function requireTracked(trx: Kysely<Schema>, waiver: Waiver): Promise<boolean> {
  const { orgId, stream, range, asZero } = waiver;
  if (asZero && streamNamed(stream).missingMeans !== 'zero') {
    throw new SettingsError(`Nothing was waived: a day that Losant leaves out of ${stream} is no zero`, {
      hint: 'leave out --as-zero to accept the days as they stand',
    });
  }
  const track = await trx
    .selectFrom('tracked as t')
    .innerJoin('tracking as k', (join) =>
      join.onRef('k.org_id', '=', 't.org_id').onRef('k.stream', '=', 't.stream'),
    )
    .select(['t.first_day as first', 't.last_day as last'])
    .select(sql<boolean>`not upper_inf(k.tracked_days)`.as('isEnded'))
    .select(
      sql<boolean>`datemultirange(daterange(${range.from}::date, ${range.to}::date, '[]')) <@ t.days`.as(
        'isTracked',
      ),
    )
    .where('t.org_id', '=', orgId)
    .where('t.stream', '=', stream)
    .executeTakeFirst();
  if (track?.isTracked) return track.isEnded;
  const what =
    track?.first != null
      ? `${stream} of organization ${orgId} is tracked from ${track.first} to ${track.last}, and not on every day of ${range.from}..${range.to}`
      : `${stream} of organization ${orgId} is not tracked`;
  throw new SettingsError(`Nothing was waived: ${what}`, { hint: HINT });
}
