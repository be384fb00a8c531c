import { type Kysely, sql } from 'kysely';
import { type DayRange, eachDay, type UsageDay } from '../../usage/day.ts';
import { SettingsError } from '../../errors.ts';
import { cellId, lockCells } from './coverage.ts';
import type { Schema } from '../schema.ts';

export interface Waiver {
  readonly orgId: string;
  readonly stream: string;
  readonly range: DayRange;
  readonly reason: string;
}

/**
 * Accepts the cells of the range as known missing, all of them or none. The next
 * good read of a cell lifts it. Doing it again gives the new reason.
 * Throws SettingsError if a number of the range is held, or was never promised.
 */
export async function waiveCells(
  db: Kysely<Schema>,
  { orgId, stream, range, reason }: Waiver,
): Promise<UsageDay[]> {
  return await db.transaction().execute(async (trx) => {
    await requirePromised(trx, { orgId, stream, range });
    const cells = eachDay(range).map((day) => ({ orgId, stream, day }));
    const stored = await lockCells(trx, cells);
    const held = cells.filter((cell) => isHeld(stored.get(cellId(cell))?.state));
    if (held.length > 0) throw heldError(held.map(({ day }) => day));
    await sql`
      update losant_usage.coverage set state = 'waived', error_code = 'waived', error_message = ${reason},
        attempts = 0, next_attempt_at = null
      where usage_date between ${range.from} and ${range.to} and stream = ${stream} and org_id = ${orgId}`.execute(
      trx,
    );
    return cells.map(({ day }) => day);
  });
}

function isHeld(state: string | undefined): boolean {
  return state === 'loaded' || state === 'final';
}

function heldError(days: readonly UsageDay[]): SettingsError {
  const shown = days.slice(0, 10).join(', ');
  const more = days.length > 10 ? ` and ${days.length - 10} more` : '';
  return new SettingsError(`Nothing was waived: a number is held for ${shown}${more}`, {
    hint: 'only a missing number can be waived: losant-usage gaps lists them',
  });
}

async function requirePromised(
  trx: Kysely<Schema>,
  { orgId, stream, range }: Omit<Waiver, 'reason'>,
): Promise<void> {
  const { rows } = await sql<{ from: UsageDay; to: UsageDay | null }>`
    select t.tracked_from as "from", least(t.tracked_to, (o.removed_at at time zone 'UTC')::date) as "to"
    from losant_usage.tracking t join losant_usage.organizations o using (org_id)
    where t.org_id = ${orgId} and t.stream = ${stream}`.execute(trx);
  const promised = rows[0];
  if (promised && promised.from <= range.from && (promised.to === null || range.to <= promised.to)) return;
  const what = promised
    ? `${stream} of organization ${orgId} is promised from ${promised.from}${promised.to === null ? ' on' : ` to ${promised.to}`}`
    : `${stream} of organization ${orgId} is not exported`;
  throw new SettingsError(`Nothing was waived: ${what}`, {
    hint: 'only a missing number can be waived: losant-usage gaps lists them',
  });
}
