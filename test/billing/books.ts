/** A ledger whose cells tests write directly, and the statements that are made from it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { checkPacks, compareWithDatabase } from '../../src/billing/check-pack.ts';
import { type CloseOutcome, type CloseRequest, closeMonth } from '../../src/billing/close.ts';
import { writePacks } from '../../src/billing/pack.ts';
import { readPacks, type Verification } from '../../src/billing/read-packs.ts';
import { readBlockers, readStatements } from '../../src/billing/statements.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createLedgerDatabase, INSTANCE, Ledger } from '../ledger/ledger.ts';
import { useOpened } from '../opened.ts';
import { asOwner, openAs } from '../support/databases.ts';
import { hours, minutes, POLICY, totals } from '../usage/cells.ts';

export { INSTANCE } from '../ledger/ledger.ts';
export const { signal: SIGNAL } = new AbortController();
export const OTHER_INSTANCE = '5c0000000000000000000002';
const NOW = '2026-11-22T12:00:00.000Z';

/** The numbers of a day, by column of usage_days. */
export type Numbers = Readonly<Record<string, unknown>>;

export const DEVICES: Numbers = { devices_created: 4, devices_deleted: 1, devices_total: 17 };
const DEFAULT_NUMBERS: Readonly<Record<string, Numbers>> = {
  device_counts: DEVICES,
  payload_totals: totals(10, 12, 1_200),
  payload_sources: { payload_source_count: 12, payload_sources: { timer: { 'timer.flow': 7 }, webhook: { hook: 5 } } },
  payload_hours: hours(1, 1, 1),
  notebook_minutes: minutes(0, 0),
};

interface CellOptions {
  readonly orgId: string;
  readonly from: string;
  readonly to?: string;
  readonly stream?: string;
  readonly standing?: string;
  /** Numbers to store; null stores none. */
  readonly numbers?: Numbers | null;
  readonly isReported?: boolean;
  /** Whether they are loaded now, such as after their month was closed, and not a day after their own. */
  readonly isLate?: boolean;
}

export interface OrgOptions {
  /** The days on which it existed. */
  readonly from: string;
  readonly to?: string | null;
  readonly name?: string;
  readonly customerId?: string | null;
  readonly instanceId?: string;
}

interface Restatement {
  readonly stream?: string;
  readonly old: Numbers;
  readonly numbers: Numbers;
}

interface CloseOptions extends Partial<Omit<CloseRequest, 'month'>> {
  readonly instanceId?: string;
  readonly on?: DatabaseHandle;
}

const setNumbers = (orgId: string, from: string, to: string, numbers: Numbers) => {
  const columns = Object.keys(numbers).map((name) => sql`${sql.ref(name)} = n.${sql.ref(name)}`);
  return sql`update losant_usage.usage_days d set ${sql.join(columns)}
    from jsonb_populate_record(null::losant_usage.usage_days, ${JSON.stringify(numbers)}::jsonb) as n
    where d.org_id = ${orgId} and d.usage_date between ${from}::date and ${to}::date`;
};

const isCell = (orgId: string, day: string, stream: string) =>
  sql`org_id = ${orgId} and usage_date = ${day} and stream = ${stream}`;

/** Ends the version of an organization at an instant, and begins one with another customer. */
export const renewHistory = (orgId: string, customerId: string, at: string) => [
  sql`update losant_usage.organization_history set valid_to = ${at} where org_id = ${orgId} and valid_to is null`,
  sql`insert into losant_usage.organization_history
      (org_id, valid_from, instance_id, name, customer_id, tags, limits)
    values (${orgId}, ${at}, ${INSTANCE}, 'Acme', ${customerId}, '[]', '{}')`,
];

export class Books extends Ledger {
  folder = '';
  #closer: DatabaseHandle | null = null;

  static async open(): Promise<Books> {
    const books = new Books(await createLedgerDatabase(NOW));
    books.#closer = await openAs('closer', books.url);
    books.folder = await mkdtemp(join(tmpdir(), 'statement-'));
    await books.createInstance(OTHER_INSTANCE);
    const policy = JSON.stringify(POLICY);
    await books.asProgram(sql`update losant_usage.instances set policy = ${policy}::text::jsonb,
      new_orgs_from = '2025-01-01', listed_at = now()`);
    return books;
  }

  get closer(): DatabaseHandle {
    if (this.#closer === null) throw new Error('the books are not open');
    return this.#closer;
  }

  override async drop(): Promise<void> {
    await this.closer.close();
    await super.drop();
    await rm(this.folder, { recursive: true });
  }

  async addOrg({ from, to = null, name = 'Acme', customerId = null, instanceId = INSTANCE }: OrgOptions) {
    const orgId = await this.createOrg({ createdOn: from, instanceId });
    await this.asProgram(
      sql`update losant_usage.organizations set name = ${name}, customer_id = ${customerId},
        deleted_on = ${to}::date + 1 where org_id = ${orgId}`,
      sql`insert into losant_usage.organization_history
          (org_id, valid_from, instance_id, name, customer_id, tags, limits, created_on)
        select org_id, created_on, instance_id, name, customer_id, tags, limits, created_on
        from losant_usage.organizations where org_id = ${orgId}`,
    );
    return orgId;
  }

  /** Adds an organization that existed on these days, with final cells of devices. */
  async addFinalOrg(org: OrgOptions & { readonly to: string }): Promise<string> {
    const orgId = await this.addOrg(org);
    await this.addCells({ orgId, from: org.from, to: org.to });
    return orgId;
  }

  /** Adds cells of a stream, by default final and with the default numbers, read four days after their day. */
  async addCells({ orgId, from, to = from, stream = 'device_counts', ...cell }: CellOptions): Promise<void> {
    const { standing = 'final', numbers = DEFAULT_NUMBERS[stream] ?? null, isReported = true, isLate = false } = cell;
    const isStored = numbers !== null;
    const reason = ['final', 'stored'].includes(standing) ? null : 'never_read';
    await this.addTracks(orgId, [stream], { from, to });
    await this.asProgram(
      sql`update losant_usage.tracks set next_day = greatest(next_day, ${to}::date + 1)
        where org_id = ${orgId} and stream = ${stream} and ${to} between first_day and last_day`,
      sql`insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision,
          last_read_at, last_attempt_at, first_loaded_at, finalized_at, reason, response_sha256)
        select day::date, ${orgId}, ${stream}, ${standing}::losant_usage.standing, ${isStored},
          ${isStored && isReported}, ${isStored ? 1 : 0}, day + interval '4 days', day + interval '4 days',
          case when ${isStored} then case when ${isLate} then now() else day + interval '1 day' end end,
          case when ${standing} = 'final' then day + interval '4 days' end, ${reason},
          case when ${isStored} then sha256('x') end
        from generate_series(${from}::timestamp at time zone 'UTC', ${to}::timestamp at time zone 'UTC',
          interval '1 day') as day`,
      sql`insert into losant_usage.usage_days (usage_date, org_id)
        select day::date, ${orgId} from generate_series(${from}::date, ${to}::date, interval '1 day') as day
        on conflict do nothing`,
      // Rolls the cells up into their days.
      sql`update losant_usage.coverage set failed_reads = failed_reads
        where org_id = ${orgId} and usage_date between ${from}::date and ${to}::date`,
      ...(numbers === null ? [] : [setNumbers(orgId, from, to, numbers)]),
    );
  }

  /** Changes numbers of a day and records the revision; of hours it only records the revision. */
  async restate(orgId: string, day: string, { stream = 'device_counts', old, numbers }: Restatement) {
    await this.asProgram(
      ...(stream === 'payload_hours' ? [] : [setNumbers(orgId, day, day, numbers)]),
      sql`with cell as (
          update losant_usage.coverage set revision = revision + 1
          where ${isCell(orgId, day, stream)} returning revision, standing
        )
        insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
        select ${orgId}, ${stream}, ${day}, revision, ${JSON.stringify(old)}::jsonb, ${JSON.stringify(numbers)}::jsonb,
          standing = 'final', gen_random_uuid() from cell`,
    );
  }

  async setStanding(orgId: string, day: string, standing: string, stream = 'device_counts'): Promise<void> {
    await this.asProgram(sql`update losant_usage.coverage set standing = ${standing}::losant_usage.standing,
        reason = case when ${standing} in ('final', 'stored') then null else 'contradicted' end,
        finalized_at = case when ${standing} = 'final' then coalesce(finalized_at, now()) else finalized_at end
      where ${isCell(orgId, day, stream)}`);
  }

  /** Stores the numbers of a cell that was missing. */
  async fill(orgId: string, day: string, stream: string, numbers: Numbers): Promise<void> {
    await this.asProgram(
      setNumbers(orgId, day, day, numbers),
      sql`update losant_usage.coverage set standing = 'final', is_stored = true, is_reported = true, revision = 1,
          first_loaded_at = now(), finalized_at = now(), last_read_at = now(), response_sha256 = sha256('x'),
          reason = null
        where ${isCell(orgId, day, stream)}`,
    );
  }

  async waive(orgId: string, day: string, stream = 'device_counts'): Promise<void> {
    await this.asProgram(
      sql`insert into losant_usage.waivers (org_id, stream, usage_date, reason)
        values (${orgId}, ${stream}, ${day}, 'agreed')`,
      sql`update losant_usage.coverage set standing = 'waived', reason = 'waived'
        where ${isCell(orgId, day, stream)}`,
    );
  }

  /** Lets a second pass, so that nothing happens at the instant of a statement. */
  async #tick(): Promise<void> {
    await this.setTime(new Date(this.nowMs + 1_000).toISOString());
  }

  async close(month: string, options: CloseOptions = {}): Promise<CloseOutcome> {
    const { instanceId = INSTANCE, on = this.closer, ...changes } = options;
    const defaults = { acceptance: null, isAdjustment: false, isDryRun: false, signingKey: null };
    await this.#tick();
    const request = { month, ...defaults, signal: SIGNAL, ...changes };
    const outcome = await closeMonth(on, { instanceId, name: null }, request);
    await this.#tick();
    return outcome;
  }

  /** Closes a month, accepting its blockers if there are any. */
  async accept(month: string, options: CloseOptions = {}): Promise<CloseOutcome> {
    const outcome = await this.close(month, options);
    if (outcome.kind !== 'refused') return outcome;
    const acceptance = { reason: 'agreed', blockersHash: outcome.blockersHash ?? '' };
    return await this.close(month, { ...options, acceptance });
  }

  async adjust(month: string, options: CloseOptions = {}): Promise<CloseOutcome> {
    return await this.close(month, { ...options, isAdjustment: true });
  }

  /** Changes statements without their triggers, which only the owner can disable. */
  async force(change: string): Promise<void> {
    const tables = ['statements', 'statement_lines', 'statement_files'];
    const setTriggers = (state: string) =>
      tables.map((table) => `alter table losant_usage.${table} ${state} trigger user;`).join(' ');
    const statements = `${setTriggers('disable')} ${change}; set constraints all immediate; ${setTriggers('enable')}`;
    await asOwner(this.url, statements);
  }

  async causesOf(month: string): Promise<string[]> {
    return (await readBlockers(this.reader.db, { month, instanceId: INSTANCE })).map(({ cause }) => cause);
  }

  /** Writes the packs of a month to a new folder, and checks them offline and against the database. */
  async verifyMonth(month: string): Promise<{ out: string; problems: Verification['problems'] }> {
    const out = await mkdtemp(join(this.folder, `${month}-`));
    const { db } = this.closer;
    const statements = await readStatements(db, { month, instanceIds: [INSTANCE, OTHER_INSTANCE] });
    await writePacks(this.closer, statements, { out, signal: SIGNAL });
    const verification = await readPacks(out, []);
    await checkPacks(verification, SIGNAL);
    await compareWithDatabase(db, verification, SIGNAL);
    return { out, problems: verification.problems };
  }
}

export function useBooks(): Books {
  const open = () => Books.open();
  return useOpened(open, (books) => books.drop());
}

/** Returns the quantities of an outcome with one organization, by metric. */
export function quantitiesOf({ lines }: CloseOutcome): Record<string, string | null> {
  return Object.fromEntries(lines.map(({ metric, quantity }) => [metric, quantity]));
}
