import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { type CellKey, cellId, isHeldState } from '../usage/cell.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import { isGapWhileHeld, neverRead, type StoredCell, WAIVED } from '../usage/settlement.ts';
import { columnsOf, insertCells, lockCells, updateCells } from './coverage.ts';
import { writeNumbers } from './numbers.ts';
import { beginWriting } from './transaction.ts';

export interface Waiver {
  readonly orgId: string;
  readonly stream: string;
  readonly range: DayRange;
  readonly reason: string;
}

/**
 * Accepts the cells of the range as known missing, all of them or none, on
 * record with who and why. The next good read of a cell lifts it. Doing it again
 * gives the new reason. Throws SettingsError if a number of the range is held
 * and was not left out since, or is not tracked.
 */
export async function waiveCells(db: Kysely<Schema>, waiver: Waiver): Promise<UsageDay[]> {
  const { orgId, stream, range, reason } = waiver;
  return await db.transaction().execute(async (trx) => {
    await beginWriting(trx, { runId: null, lease: null });
    await requireTracked(trx, waiver);
    const keys = eachDay(range).map((day) => ({ orgId, stream, day }));
    while (!(await waiveLocked(trx, keys, reason)));
    await liftWaivers(trx, keys, null);
    const [days, streams, orgIds] = columnsOf(keys);
    await sql`
      insert into losant_usage.waivers (usage_date, stream, org_id, reason)
      select k.*, ${reason} from unnest(${days}::date[], ${streams}::text[], ${orgIds}::text[]) as k`.execute(
      trx,
    );
    return keys.map(({ day }) => day);
  });
}

/**
 * Locks the cells and waives them. False, with nothing done, where a run has added
 * one of them meanwhile: what it read counts.
 */
async function waiveLocked(trx: Kysely<Schema>, keys: readonly CellKey[], reason: string): Promise<boolean> {
  await sql`savepoint cells`.execute(trx);
  const stored = await lockCells(trx, keys);
  const held = keys.filter((key) => !isWaivable(stored.get(cellId(key))));
  if (held.length > 0) throw heldError(held.map(({ day }) => day));
  const cells = keys.map((key) => ({ ...key, cell: waive(stored.get(cellId(key)), reason) }));
  const added = cells.filter((cell) => !stored.has(cellId(cell)));
  if ((await insertCells(trx, added, null)) < added.length) {
    await sql`rollback to savepoint cells`.execute(trx);
    return false;
  }
  await updateCells(
    trx,
    cells.filter((cell) => stored.has(cellId(cell))),
    null,
  );
  await writeNumbers(trx, [], added);
  return true;
}

/** Ends the waivers of cells whose number came after all, or that get another reason. */
export async function liftWaivers(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
  runId: string | null,
): Promise<void> {
  if (keys.length === 0) return;
  const [days, streams, orgIds] = columnsOf(keys);
  await sql`
    update losant_usage.waivers w set lifted_at = clock_timestamp(), lifted_by_run = ${runId}::uuid
    from unnest(${days}::date[], ${streams}::text[], ${orgIds}::text[]) as k (usage_date, stream, org_id)
    where w.usage_date = k.usage_date and w.stream = k.stream and w.org_id = k.org_id and w.lifted_at is null`.execute(
    trx,
  );
}

/** What is missing, what Losant left out although it is held, and what is held and will never become final. */
function isWaivable(stored: StoredCell | undefined): boolean {
  if (!stored || !isHeldState(stored.state)) return true;
  return isGapWhileHeld(stored) || stored.error?.code === WAIVED || isNeverFinal(stored);
}

function isNeverFinal({ state, nextReadAtMs }: StoredCell): boolean {
  return state === 'loaded' && nextReadAtMs === null;
}

function waive(stored: StoredCell | undefined, reason: string): StoredCell {
  const error = { code: WAIVED, message: reason };
  if (stored && isHeldState(stored.state)) return { ...stored, attempts: 0, error };
  return { ...(stored ?? neverRead), state: 'waived', attempts: 0, nextReadAtMs: null, error };
}

const HINT = 'only a missing number can be waived: losant-usage gaps lists them';

function heldError(days: readonly UsageDay[]): SettingsError {
  const shown = days.slice(0, 10).join(', ');
  const more = days.length > 10 ? ` and ${days.length - 10} more` : '';
  return new SettingsError(`Nothing was waived: a number is held for ${shown}${more}`, { hint: HINT });
}

async function requireTracked(trx: Kysely<Schema>, { orgId, stream, range }: Waiver): Promise<void> {
  const { rows } = await sql<{ isTracked: boolean; first: UsageDay | null; last: UsageDay | null }>`
    select datemultirange(daterange(${range.from}::date, ${range.to}::date, '[]')) <@ t.days as "isTracked",
      t.first_day as first, t.last_day as last
    from losant_usage.tracked t where t.org_id = ${orgId} and t.stream = ${stream}`.execute(trx);
  const track = rows[0];
  if (track?.isTracked) return;
  const what =
    track?.first != null
      ? `${stream} of organization ${orgId} is tracked from ${track.first} to ${track.last}, and not on every day of ${range.from}..${range.to}`
      : `${stream} of organization ${orgId} is not tracked`;
  throw new SettingsError(`Nothing was waived: ${what}`, { hint: HINT });
}
