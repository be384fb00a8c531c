/** A database with closed months, for tests of what is closed. */
import { type KeyObject, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawBuilder, sql } from 'kysely';
import { checkDatabase, checkPacks, checkSet } from '../../src/billing/check-pack.ts';
import { type CloseOutcome, closePeriod } from '../../src/billing/close.ts';
import { describeBlocker, readStatements } from '../../src/billing/month.ts';
import { openPacks, type PackProblem, placePacks, writePacks } from '../../src/billing/pack-folder.ts';
import { createDatabase } from '../../src/database/open.ts';
import { type DayRange, eachDay } from '../../src/usage/day.ts';
import type { PeriodSource } from '../../src/usage/period.ts';
import { INSTANCE, openLedger } from '../database/ledger.ts';
import { useOpened } from '../opened.ts';
import type { TestDatabase } from '../support/databases.ts';
import { devices, trackedOrg } from '../views/loads.ts';

export const { signal: SIGNAL } = new AbortController();

export type Books = Awaited<ReturnType<typeof openBooks>>;

export interface CloseOptions {
  readonly reason?: string | null;
  readonly isAdjustment?: boolean;
  readonly isDryRun?: boolean;
  readonly source?: PeriodSource;
  readonly signingKey?: KeyObject | null;
}

/** What a closing was refused for, or closed in spite of, in words. */
export function whyNot(outcome: CloseOutcome): string[] {
  return outcome.kind === 'unchanged' ? [] : outcome.blockers.map(describeBlocker);
}

/** `made`: a database that was made for it, e.g. one whose clock can be set. */
export async function openBooks(made?: TestDatabase) {
  const ledger = await openLedger('postgres', made);
  const handle = await createDatabase({ url: ledger.url, applicationName: 'close test', poolSize: 3 });
  const folder = await mkdtemp(join(tmpdir(), 'statement-'));

  /** Checks the packs of a month that were written to a folder, offline and against the database. */
  const checkFolder = async (out: string): Promise<PackProblem[]> => {
    const { packs, problems } = await openPacks(out, null);
    if (problems.length > 0) return [...problems];
    const found: PackProblem[] = await checkSet(ledger.db, packs);
    found.push(...(await checkPacks(packs, new AbortController().signal)));
    for (const pack of packs) {
      const { problems: differing } = await ledger.db
        .transaction()
        .execute(async (trx) => await checkDatabase(trx, pack));
      found.push(...differing);
    }
    return found;
  };

  return {
    ledger,
    handle,
    folder,
    checkFolder,
    ask: async (query: RawBuilder<unknown>) => await ledger.ask(query),

    closeMonth: async (
      month: string,
      {
        reason = null,
        isAdjustment = false,
        isDryRun = false,
        source = 'calendar',
        signingKey = null,
      }: CloseOptions = {},
    ): Promise<CloseOutcome> => {
      const request = { month, reason, isAdjustment, isDryRun, signingKey, signal: SIGNAL };
      return await closePeriod(handle, { instanceId: INSTANCE, name: null, source }, request);
    },

    /** An organization that existed on these days only, with final device counts of each: 4 created, 1 deleted, 17 in all. */
    orgOf: async (
      days: DayRange,
      { without = [] }: { without?: readonly string[] } = {},
    ): Promise<string> => {
      const orgId = await trackedOrg(ledger, ['device_counts'], days);
      await sql`update losant_usage.organizations
        set created_at = ${`${days.from}T09:00:00Z`}, created_on = ${days.from}, removed_at = ${`${days.to}T20:00:00Z`}
        where org_id = ${orgId}`.execute(ledger.db);
      const stored = eachDay(days).filter((day) => !without.includes(day));
      await ledger.load(stored.map((day) => devices(orgId, day, 4, 1, 17)));
      return orgId;
    },

    adjustmentsOf: async (month: string) =>
      await ledger.ask(sql`select org_id, metric, then_quantity, now_quantity, difference, cause from losant_usage.adjustments
          where period_month = ${`${month}-01`}::date order by org_id, metric`),

    /** Writes the packs of a month to a new folder and checks them. */
    verifyMonth: async (month: string): Promise<{ out: string; problems: PackProblem[] }> => {
      const out = join(folder, `${month}-${randomUUID()}`);
      const places = placePacks(await readStatements(ledger.db, { month }));
      await writePacks(handle, places, { out, signal: SIGNAL });
      return { out, problems: await checkFolder(out) };
    },

    close: async () => {
      await handle.close();
      await ledger.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** One for the tests of a file. */
export function useBooks(): Books {
  return useOpened(
    () => openBooks(),
    (books) => books.close(),
  );
}
