/** A ledger in a database whose clock the test sets, filled by the functions that a run calls. */
import { type ControlledTransaction, type Kysely, type RawBuilder, sql } from 'kysely';
import { afterEach, beforeAll, beforeEach } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import type { Schema } from '../../src/database/schema.ts';
import { applyPolicy } from '../../src/ledger/due.ts';
import {
  createExpectedCells,
  createExpectedCellsOf,
  type MarkDueOptions,
  markDaysDue,
  syncTracks,
} from '../../src/ledger/expected.ts';
import { beginWriting, inTransaction } from '../../src/ledger/lease.ts';
import { loadBatch, type RunLedger } from '../../src/ledger/load.ts';
import { type Waiver, waiveCells } from '../../src/ledger/waive.ts';
import type { CellKey, CellResponse, CellUpdate, Verdict } from '../../src/usage/cell.ts';
import type { DayRange } from '../../src/usage/day.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { defaultStreamNames } from '../../src/usage/streams/catalog.ts';
import { useOpened } from '../opened.ts';
import { createClockDatabase, stopClockAt } from '../support/clock-database.ts';
import { asOwner, asWriter, openAs } from '../support/databases.ts';
import { devices, POLICY, report } from '../usage/cells.ts';

export const INSTANCE = '5c0000000000000000000001';
export const RUN_1 = '00000000-0000-4000-8000-000000000001';
export const RUN_2 = '00000000-0000-4000-8000-000000000002';

export const at = (instant: string): number => Date.parse(instant);

export interface RunSettings {
  readonly streams?: readonly string[];
  readonly selection?: readonly string[] | null;
  readonly policy?: Policy;
  readonly transactionCells?: number;
  readonly db?: Kysely<Schema>;
}

/** A response for a cell; the request was sent at the ledger's time by default. */
export interface TestResponse extends Omit<CellResponse, 'sentAtMs' | 'texts' | 'sha256'> {
  readonly sentAtMs?: number;
}

interface LedgerDatabase {
  readonly handle: DatabaseHandle;
  readonly reader: DatabaseHandle;
  readonly url: string;
  readonly nowMs: number;
  readonly drop: () => Promise<void>;
}

async function readRows(query: RawBuilder<unknown>, db: Kysely<Schema>): Promise<object[]> {
  const { rows } = await query.execute(db);
  return rows.map((row) => ({ ...(row as object) }));
}

function toLines(rows: readonly object[]): string[] {
  const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return rows.map((row) =>
    Object.values(row)
      .map((value) => (value === null ? '-' : textOf(value)))
      .join(' '),
  );
}

export class Ledger {
  /** Of the writer. */
  readonly handle: DatabaseHandle;
  readonly reader: DatabaseHandle;
  readonly url: string;
  readonly #drop: () => Promise<void>;
  #nowMs: number;
  #trx: ControlledTransaction<Schema> | null = null;
  #orgs = 0;

  constructor({ handle, reader, url, nowMs, drop }: LedgerDatabase) {
    this.handle = handle;
    this.reader = reader;
    this.url = url;
    this.#nowMs = nowMs;
    this.#drop = drop;
  }

  get db(): Kysely<Schema> {
    return this.#trx ?? this.handle.db;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Begins a transaction, in which statements of the program are executed and rows are read, until it is undone. */
  async begin(): Promise<void> {
    this.#trx = await this.handle.db.startTransaction().execute();
    await beginWriting(this.#trx);
  }

  async undo(): Promise<void> {
    await this.#trx?.rollback().execute();
    this.#trx = null;
  }

  /** Sets the clock of the database and of runs. */
  async setTime(instant: string): Promise<void> {
    this.#nowMs = at(instant);
    await asOwner(this.url, stopClockAt(this.#nowMs));
  }

  /** Returns the rows of a query as plain objects, as the reader sees them. */
  async queryRows(query: RawBuilder<unknown>): Promise<object[]> {
    return await readRows(query, this.#trx ?? this.reader.db);
  }

  /** Returns the rows of a query of what the reader cannot see. */
  async queryAsWriter(query: RawBuilder<unknown>): Promise<object[]> {
    return await readRows(query, this.db);
  }

  /** Returns the rows of a query as lines of text, null as `-`. */
  async list(query: RawBuilder<unknown>): Promise<string[]> {
    return toLines(await this.queryRows(query));
  }

  /** Returns the rows of a query of what the reader cannot see as lines of text. */
  async listAsWriter(query: RawBuilder<unknown>): Promise<string[]> {
    return toLines(await this.queryAsWriter(query));
  }

  /** Returns the plan of a query for which indexes are used wherever one can be. */
  async explainIndexes(query: RawBuilder<unknown>): Promise<string> {
    return await this.reader.db.transaction().execute(async (trx) => {
      await sql`set local enable_seqscan = off`.execute(trx);
      return JSON.stringify(await readRows(sql`explain ${query}`, trx));
    });
  }

  /** Executes statements as the writer, in one transaction. */
  async write(...statements: readonly RawBuilder<unknown>[]): Promise<void> {
    const execute = async (trx: Kysely<Schema>) => {
      for (const statement of statements) await statement.execute(trx);
    };
    await (this.#trx ? execute(this.#trx) : inTransaction({ db: this.db, lease: null }, execute));
  }

  /** Counts the statements with this text that wait for a lock of another session. */
  async countWaiting(text = ''): Promise<number> {
    const { rows } = await sql`select from pg_stat_activity where datname = current_database()
      and wait_event_type = 'Lock' and query like ${`%${text}%`}`.execute(this.db);
    return rows.length;
  }

  async createOrg({ createdOn = null as string | null } = {}) {
    this.#orgs += 1;
    const orgId = `5d${String(this.#orgs).padStart(22, '0')}`;
    await this.write(
      sql`insert into losant_usage.organizations (org_id, name, created_on, first_seen_at, last_seen_at)
        values (${orgId}, ${`Acme ${this.#orgs}`}, ${createdOn}, now(), now())`,
    );
    return orgId;
  }

  async setOrg(orgId: string, assignment: RawBuilder<unknown>): Promise<void> {
    await this.write(sql`update losant_usage.organizations set ${assignment} where org_id = ${orgId}`);
  }

  /** Adds organizations with the IDs from 1 on. */
  async createOrgs(count: number): Promise<void> {
    await this.write(
      sql`insert into losant_usage.organizations (org_id, name, first_seen_at, last_seen_at)
        select lpad(n::text, 24, '0'), 'Acme', now(), now()
        from generate_series(1, ${count}::integer) as n`,
    );
  }

  /** Runs `work` while a foreign trigger executes `body` for each row of a table. */
  async withTrigger(table: string, body: string, work: () => Promise<unknown>, when = 'before insert') {
    await asOwner(
      this.url,
      `create function public.foreign_object() returns trigger language plpgsql as $$ begin ${body} end $$;
      create trigger foreign_object ${when} on losant_usage.${table} for each row execute function public.foreign_object()`,
    );
    try {
      await work();
    } finally {
      await asOwner(this.url, 'drop function public.foreign_object() cascade');
    }
  }

  /** Deletes all organizations with their rows, and resets the instance. */
  async clear(): Promise<void> {
    const ofOrgs = ['coverage', 'usage_days', 'tracks', 'waivers', 'organization_history', 'organizations'];
    const tables = ['instance_totals', ...ofOrgs];
    await asOwner(this.url, tables.map((table) => `delete from losant_usage.${table}`).join(';'));
    await this.write(
      sql`update losant_usage.instance set new_orgs_from = null, policy = '{}', digest_on = null, listed_at = null,
        list_problem = null, last_error = null`,
    );
  }

  /** Returns the ledger for a run without a lease, because nobody else writes. */
  writer(changes: Partial<RunLedger> = {}): RunLedger {
    return { db: this.db, policy: POLICY, now: () => this.#nowMs, runId: RUN_1, lease: null, ...changes };
  }

  /** Does what a run does before it reads. */
  async prepare(settings: RunSettings = {}): Promise<void> {
    const { streams = defaultStreamNames, selection = null, policy = POLICY, ...changes } = settings;
    const writer = this.writer({ policy, ...changes });
    await applyPolicy(writer);
    await syncTracks(writer, { streams, selection });
    await createExpectedCells(writer);
  }

  /** Tracks an organization, by default a new one, on these days only, and creates their cells. */
  async expectDays({ from, to }: DayRange, streams: readonly string[], orgId?: string): Promise<string> {
    const id = orgId ?? (await this.createOrg());
    await inTransaction({ db: this.db, lease: null }, async (trx) => {
      await sql`
        insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
        select ${id}, stream, ${from}::date, ${from}::date, ${to}::date
        from unnest(${streams}::text[]) as stream`.execute(trx);
      await createExpectedCellsOf(trx, [id], POLICY);
    });
    return id;
  }

  /** Backfills the days of `FROM..TO`. Returns how many cells became due. */
  async backfill(days: string, options: Partial<MarkDueOptions> = {}, changes: Partial<RunLedger> = {}) {
    const defaults = { orgIds: null, streams: null, range: toRange(days), extendsTracks: true, force: false };
    return await markDaysDue(this.writer(changes), { ...defaults, ...options });
  }

  /** Waives the days of `FROM..TO` as a person does, and returns the cells. */
  async waiveDays(orgId: string, days: string, changes: Partial<Waiver> = {}): Promise<CellKey[]> {
    const waiver = {
      orgIds: [orgId],
      streams: null,
      range: toRange(days),
      reason: 'known outage',
      isZeroed: false,
      policy: POLICY,
    };
    return await waiveCells(this.db, { ...waiver, ...changes });
  }

  /** Loads responses in one batch. If one is sent later than the ledger's time, all clocks show that time while it loads. */
  async load(batch: readonly TestResponse[], changes: Partial<RunLedger> = {}): Promise<CellUpdate[]> {
    const defaults = { sentAtMs: this.#nowMs, texts: [], sha256: 'a'.repeat(64) };
    const responses = batch.map((each): CellResponse => ({ ...defaults, ...each }));
    const nowMs = this.#nowMs;
    const sentAtMs = Math.max(nowMs, ...responses.map((each) => each.sentAtMs));
    const isLater = sentAtMs > nowMs && changes.now === undefined;
    if (isLater) await this.setTime(new Date(sentAtMs).toISOString());
    try {
      return await loadBatch(this.writer(changes), responses);
    } finally {
      if (isLater) await this.setTime(new Date(nowMs).toISOString());
    }
  }

  /** Returns the cells of an organization as lines: day, stream, standing, reason, next read. */
  async cells(orgId: string): Promise<string[]> {
    return await this.listAsWriter(sql`
      select to_char(usage_date, 'MM-DD') as day, stream, standing, coalesce(reason, ''),
        coalesce(to_char(next_read_at at time zone 'UTC', 'MM-DD"T"HH24:MI'), 'never') as next
      from losant_usage.coverage where org_id = ${orgId} order by usage_date, stream`);
  }

  /** Returns the days of an organization that have a cell of a stream, as ranges with their lengths. */
  async daysOf(orgId: string, stream = 'device_counts'): Promise<string[]> {
    return await this.listAsWriter(sql`
      select to_char(min(usage_date), 'MM-DD') || '..' || to_char(max(usage_date), 'MM-DD') as days, count(*)
      from (
        select usage_date, usage_date - row_number() over (order by usage_date)::integer as start
        from losant_usage.coverage where org_id = ${orgId} and stream = ${stream}
      ) as c group by start order by 1`);
  }

  /** Returns the tracks of an organization: first, next and last day. */
  async tracks(orgId: string): Promise<string[]> {
    return await this.list(sql`
      select stream, to_char(first_day, 'MM-DD') as first, to_char(next_day, 'MM-DD') as next,
        coalesce(to_char(last_day, 'MM-DD'), '') as last
      from losant_usage.tracks where org_id = ${orgId} order by stream`);
  }

  async drop(): Promise<void> {
    await this.handle.close();
    await this.reader.close();
    await this.#drop();
  }
}

/** Creates a database whose clock stands at `now`. */
export async function createLedgerDatabase(now: string): Promise<LedgerDatabase> {
  const database = await createClockDatabase();
  const { url } = database;
  await database.stopClock(at(now));
  const handle = await openAs('writer', url, { poolSize: 6 });
  const reader = await openAs('reader', url);
  await asWriter(
    url,
    `insert into losant_usage.instance (instance_id, api_url) values ('${INSTANCE}', 'https://api.example.com')`,
  );
  return { handle, reader, url, nowMs: at(now), drop: () => database.drop() };
}

export function useLedger(now: string): Ledger {
  const open = async () => new Ledger(await createLedgerDatabase(now));
  return useOpened(open, (ledger) => ledger.drop());
}

/** A ledger that is empty, and at the same time, for each test. */
export function useFreshLedger(now: string): Ledger {
  const ledger = useLedger(now);
  beforeEach(async () => {
    await ledger.clear();
    await ledger.setTime(now);
  });
  return ledger;
}

/** A ledger that is filled once, and to which each test returns. */
export function useFilledLedger(now: string, fill: (ledger: Ledger) => Promise<unknown>): Ledger {
  const ledger = useLedger(now);
  beforeAll(() => fill(ledger));
  beforeEach(async () => {
    await ledger.setTime(now);
    await ledger.begin();
  });
  afterEach(() => ledger.undo());
  return ledger;
}

function toRange(days: string): DayRange {
  const [from = '', to = from] = days.split('..');
  return { from, to };
}

/** A response with the numbers of devices, of which only the total matters. */
export function deviceResponse(orgId: string, day: string, total = 17): TestResponse {
  return cellResponse(orgId, 'device_counts', day, report(devices(4, 1, total)));
}

export const deviceResponseAt = (orgId: string, day: string, sentAt: string): TestResponse => ({
  ...deviceResponse(orgId, day),
  sentAtMs: at(sentAt),
});

export function cellResponse(orgId: string, stream: string, day: string, verdict: Verdict): TestResponse {
  return { orgId, stream, day, verdict };
}
