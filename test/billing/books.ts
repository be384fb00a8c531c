/** A small ledger written by SQL, with a clock that stands still, and what is closed of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawBuilder, sql, type Transaction } from 'kysely';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { type CloseOutcome, type CloseRequest, closeMonth } from '../../src/billing/close.ts';
import { compareWithDatabase } from '../../src/billing/compare-database.ts';
import { openPacks, type PackProblem } from '../../src/billing/open-packs.ts';
import { writePacks } from '../../src/billing/pack.ts';
import { readBlockers, readStatements } from '../../src/billing/statements.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import type { Schema } from '../../src/database/schema.ts';
import { useOpened } from '../opened.ts';
import { createClockDatabase } from '../support/clock-database.ts';

export const { signal: SIGNAL } = new AbortController();
export const INSTANCE = '5c0000000000000000000001';
export const OTHER_INSTANCE = '5c0000000000000000000002';
const NOW = '2026-11-22T12:00:00.000Z';

/** The numbers of a day, by column of usage_days. */
export type Numbers = Readonly<Record<string, unknown>>;

export const DEVICES: Numbers = { devices_created: 4, devices_deleted: 1, devices_total: 17 };
export const TOTALS: Numbers = {
  payload_billable_count: 10,
  payload_all_count: 12,
  payload_all_bytes: 1_200,
};
const SOURCES: Numbers = {
  payload_source_count: 12,
  payload_sources: { timer: { 'timer.flow': 7 }, webhook: { hook: 5 } },
};
const NOTEBOOKS = ['minutes', 'completed', 'canceled', 'errored', 'timeout'];
const HOURS = ['billable_count', 'all_count', 'all_bytes'];
const USUAL: Readonly<Record<string, Numbers>> = {
  device_counts: DEVICES,
  payload_totals: TOTALS,
  payload_sources: SOURCES,
  payload_hours: Object.fromEntries(HOURS.map((name) => [`hours_${name}`, Array(24).fill(1)])),
  notebook_minutes: Object.fromEntries(NOTEBOOKS.map((name) => [`notebook_${name}`, 0])),
};

export interface CellOptions {
  readonly orgId: string;
  readonly from: string;
  readonly to?: string;
  readonly stream?: string;
  readonly standing?: string;
  /** Numbers to store; null stores none. */
  readonly numbers?: Numbers | null;
  readonly isReported?: boolean;
  /** Whether they are loaded now, e.g. after their month was closed, and not the day after their day. */
  readonly isLate?: boolean;
}

interface OrgOptions {
  readonly from: string;
  readonly to?: string | null;
  readonly name?: string;
  readonly customerId?: string | null;
  readonly instanceId?: string;
}

export interface CloseOptions extends Partial<Omit<CloseRequest, 'month'>> {
  readonly instanceId?: string;
  readonly on?: DatabaseHandle;
}

export type Books = Awaited<ReturnType<typeof openBooks>>;

export async function openBooks() {
  const database = await createClockDatabase();
  await database.stopClock(Date.parse(NOW));
  const handle = await createDatabase({ url: database.url, applicationName: 'books', poolSize: 4 });
  const { db } = handle;
  const folder = await mkdtemp(join(tmpdir(), 'statement-'));
  let orgs = 0;
  let nowMs = Date.parse(NOW);

  /** A second passes, so that nothing happens at the moment of a statement. */
  const tick = async (): Promise<void> => {
    nowMs += 1_000;
    await database.stopClock(nowMs);
  };

  /** Writes as the program does. */
  const write = async <T>(work: (trx: Transaction<Schema>) => Promise<T>): Promise<T> =>
    await db.transaction().execute(async (trx) => {
      await sql`select set_config('losant_usage.program', 'test', true)`.execute(trx);
      return await work(trx);
    });

  const run = async (query: RawBuilder<unknown>): Promise<void> => {
    await write(async (trx) => await query.execute(trx));
  };

  const ask = async <T>(query: RawBuilder<T>): Promise<T[]> => (await query.execute(db)).rows;

  await write(async (trx) => {
    for (const instanceId of [INSTANCE, OTHER_INSTANCE]) {
      await sql`insert into losant_usage.instances (instance_id, api_url, policy, all_from, listed_at)
        values (${instanceId}, 'https://api.example.com',
          '{"readAtHours": [0, 6, 24, 72, 720], "finalAtHours": 72, "horizonDays": 90}', '2025-01-01',
            now())`.execute(trx);
    }
  });

  /** An organization that existed on these days only. */
  const addOrg = async ({
    from,
    to = null,
    name = 'Acme',
    customerId = null,
    instanceId = INSTANCE,
  }: OrgOptions): Promise<string> => {
    orgs += 1;
    const orgId = `5d${`${orgs}`.padStart(22, '0')}`;
    const removedOn = to === null ? null : sql`${to}::date + 1`;
    await write(async (trx) => {
      await sql`insert into losant_usage.organizations (org_id, instance_id, name, referral_id, customer_id,
        created_on, removed_on, first_seen_at, last_seen_at)
        values (${orgId}, ${instanceId}, ${name}, ${`R-${orgs}`}, ${customerId}, ${from}, ${removedOn}, now(),
          now())`.execute(trx);
      await sql`insert into losant_usage.organization_history (org_id, valid_from, instance_id, name,
        referral_id, customer_id, tags, limits, created_on)
        values (${orgId}, ${from}::date, ${instanceId}, ${name}, ${`R-${orgs}`}, ${customerId}, '[]', '{}',
          ${from})`.execute(trx);
    });
    return orgId;
  };

  /** Cells of a stream, final and with the usual numbers, read four days after their day. */
  const addCells = async ({
    orgId,
    from,
    to = from,
    stream = 'device_counts',
    standing = 'final',
    numbers = USUAL[stream] ?? null,
    isReported = true,
    isLate = false,
  }: CellOptions): Promise<void> => {
    const isStored = numbers !== null;
    const reason = ['final', 'stored'].includes(standing) ? null : 'never_read';
    await write(async (trx) => {
      await sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, to_day)
        values (${orgId}, ${stream}, ${from}, ${to}::date + 1, ${to})
        on conflict (org_id, stream) do update set first_day = least(tracks.first_day, excluded.first_day),
          next_day = greatest(tracks.next_day, excluded.next_day), to_day = greatest(tracks.to_day,
            excluded.to_day)`.execute(trx);
      await sql`insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored,
        is_reported, revision,
          verified_at, attempted_at, first_loaded_at, finalized_at, reason, response_sha256)
        select day::date, ${orgId}, ${stream}, ${standing}::losant_usage.standing, ${isStored},
          ${isStored && isReported},
          ${isStored ? 1 : 0}, day + interval '4 days', day + interval '4 days',
          case when ${isStored} then case when ${isLate} then now() else day + interval '1 day' end end,
            case when ${standing} = 'final' then day + interval '4 days' end,
          ${reason}, case when ${isStored} then sha256('x') end
        from generate_series(${from}::timestamp at time zone 'UTC', ${to}::timestamp at time zone 'UTC',
          interval '1 day') as day`.execute(trx);
      await sql`insert into losant_usage.usage_days (usage_date, org_id)
        select day::date, ${orgId} from generate_series(${from}::date, ${to}::date, interval '1 day') as day
        on conflict do nothing`.execute(trx);
      await sql`update losant_usage.coverage set attempts = attempts
        where org_id = ${orgId} and usage_date between ${from}::date and ${to}::date`.execute(trx);
      if (numbers !== null) await setNumbers(trx, { orgId, from, to }, numbers);
    });
  };

  const setNumbers = async (
    trx: Transaction<Schema>,
    { orgId, from, to }: { readonly orgId: string; readonly from: string; readonly to: string },
    numbers: Numbers,
  ): Promise<void> => {
    const columns = Object.keys(numbers).map((name) => sql`${sql.ref(name)} = n.${sql.ref(name)}`);
    await sql`update losant_usage.usage_days d set ${sql.join(columns)}
      from jsonb_populate_record(null::losant_usage.usage_days, ${JSON.stringify(numbers)}::jsonb) as n
      where d.org_id = ${orgId} and d.usage_date between ${from}::date and ${to}::date`.execute(trx);
  };

  /** Changes a number of a day, with the change on record. */
  const restate = async (
    orgId: string,
    day: string,
    {
      stream = 'device_counts',
      old,
      numbers,
    }: { readonly stream?: string; readonly old: Numbers; readonly numbers: Numbers },
  ): Promise<void> => {
    await write(async (trx) => {
      const stored = Object.fromEntries(
        Object.entries(numbers).filter(([name]) => !name.startsWith('hours_')),
      );
      if (Object.keys(stored).length > 0) await setNumbers(trx, { orgId, from: day, to: day }, stored);
      await sql`with cell as (
          update losant_usage.coverage set revision = revision + 1
          where org_id = ${orgId} and usage_date = ${day} and stream = ${stream} returning revision, standing
        )
        insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
        select ${orgId}, ${stream}, ${day}, revision, ${JSON.stringify(old)}::jsonb,
          ${JSON.stringify(numbers)}::jsonb,
          standing = 'final', gen_random_uuid() from cell`.execute(trx);
    });
  };

  /** Decides a cell anew. */
  const setStanding = async (
    orgId: string,
    day: string,
    standing: string,
    stream = 'device_counts',
  ): Promise<void> =>
    await run(sql`update losant_usage.coverage set standing = ${standing}::losant_usage.standing,
        reason = case when ${standing} in ('final', 'stored') then null else 'contradicted' end,
        finalized_at = case when ${standing} = 'final' then coalesce(finalized_at, now()) else finalized_at end
      where org_id = ${orgId} and usage_date = ${day} and stream = ${stream}`);

  /** Stores the numbers of a cell that was missing. */
  const fill = async (orgId: string, day: string, stream: string, numbers: Numbers): Promise<void> =>
    await write(async (trx) => {
      await setNumbers(trx, { orgId, from: day, to: day }, numbers);
      await sql`update losant_usage.coverage set standing = 'final', is_stored = true, is_reported = true, revision = 1,
          first_loaded_at = now(), finalized_at = now(), verified_at = now(), response_sha256 = sha256('x'),
          reason = null
        where org_id = ${orgId} and usage_date = ${day} and stream = ${stream}`.execute(trx);
    });

  const waive = async (
    orgId: string,
    day: string,
    { stream = 'device_counts', reason = 'agreed' } = {},
  ): Promise<void> =>
    await write(async (trx) => {
      await sql`insert into losant_usage.waivers (org_id, stream, usage_date, reason)
        values (${orgId}, ${stream}, ${day}, ${reason})`.execute(trx);
      await sql`update losant_usage.coverage set standing = 'accepted', reason = coalesce(reason, 'waived')
        where org_id = ${orgId} and usage_date = ${day} and stream = ${stream}`.execute(trx);
    });

  /** Names another customer from a moment on. */
  const changeCustomer = async (orgId: string, customerId: string, at: string): Promise<void> =>
    await write(async (trx) => {
      await sql`update losant_usage.organizations set customer_id = ${customerId} where org_id = ${orgId}`.execute(
        trx,
      );
      await sql`update losant_usage.organization_history set valid_to = ${at}
        where org_id = ${orgId} and valid_to is null`.execute(trx);
      await sql`insert into losant_usage.organization_history (org_id, valid_from, instance_id, name,
        customer_id, tags, limits)
        select org_id, ${at}, instance_id, name, customer_id, tags, limits
        from losant_usage.organizations where org_id = ${orgId}`.execute(trx);
    });

  const close = async (month: string, options: CloseOptions = {}): Promise<CloseOutcome> => {
    const { instanceId = INSTANCE, on = handle, ...own } = options;
    const nothing = { acceptance: null, isAdjustment: false, isDryRun: false, signingKey: null };
    const request = { month, ...nothing, signal: SIGNAL, ...own };
    await tick();
    const outcome = await closeMonth(on, { instanceId, name: null }, request);
    await tick();
    return outcome;
  };

  return {
    database,
    handle,
    folder,
    write,
    run,
    ask,
    addOrg,
    addCells,
    restate,
    setStanding,
    fill,
    waive,
    changeCustomer,
    close,

    /** An organization with device counts on all its days, which are final. */
    addFinalOrg: async (
      from: string,
      to: string,
      { isLate = false, ...org }: Partial<OrgOptions> & Pick<CellOptions, 'isLate'> = {},
    ): Promise<string> => {
      const orgId = await addOrg({ from, to, ...org });
      await addCells({ orgId, from, to, isLate });
      return orgId;
    },

    /** Lets the other instance have an organization. */
    move: async (orgId: string): Promise<void> =>
      await run(sql`update losant_usage.organizations set instance_id = ${OTHER_INSTANCE}
        where org_id = ${orgId}`),

    /** Closes a month although something blocks it. */
    accept: async (month: string, options: CloseOptions = {}): Promise<CloseOutcome> => {
      const { blockersHash } = await close(month, { ...options, isDryRun: true });
      return await close(month, {
        ...options,
        acceptance: { reason: 'agreed', blockersHash: blockersHash ?? '' },
      });
    },

    causesOf: async (month: string): Promise<string[]> =>
      (await readBlockers(db, { month, instanceId: INSTANCE })).map(({ cause }) => cause),

    adjustmentsOf: async (month: string) =>
      await ask(sql`select org_id, metric, billed_quantity, quantity, difference, cause from losant_usage.adjustments
        where month = ${`${month}-01`}::date order by org_id, metric`),

    /** Writes the packs of a month to a new folder, and checks them offline and against the database. */
    verifyMonth: async (
      month: string,
    ): Promise<{ readonly out: string; readonly problems: readonly PackProblem[] }> => {
      const out = await mkdtemp(join(folder, `${month}-`));
      const statements = await readStatements(db, { month, instanceIds: [INSTANCE, OTHER_INSTANCE] });
      await writePacks(handle, statements, { out, signal: SIGNAL });
      const checked = await checkPacks(await openPacks(out, []), SIGNAL);
      const { problems } = await compareWithDatabase(db, checked, SIGNAL);
      return { out, problems };
    },

    end: async (): Promise<void> => {
      await handle.close();
      await database.drop();
      await rm(folder, { recursive: true });
    },
  };
}

/** One for the tests of a file. */
export function useBooks(): Books {
  return useOpened(
    () => openBooks(),
    (books) => books.end(),
  );
}

/** The quantities of an outcome of one organization, by metric. */
export function quantitiesOf({ lines }: CloseOutcome): Record<string, string | null> {
  return Object.fromEntries(lines.map(({ metric, quantity }) => [metric, quantity]));
}
