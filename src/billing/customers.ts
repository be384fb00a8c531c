/**
 * What the statements of a month bill to each customer. It is read from the proof packs in the database, whose hashes
 * are checked: only what was closed, and only if nobody has changed it since.
 */
import { DatabaseSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { AppError } from '../errors.ts';
import { restoreCsvText } from '../files/csv.ts';
import type { ComparedDay } from '../queries/usage-totals.ts';
import { isSettled, type Standing, standings } from '../usage/standing.ts';
import { streams } from '../usage/streams/catalog.ts';
import { hashOf, MANIFEST_NAME, type Manifest, parseManifest } from './manifest.ts';
import { readManifestText, readStoredFile } from './pack.ts';
import { checkBytes, FileProblem, readRecords } from './read-packs.ts';
import { matchesRow, type Statement } from './statements.ts';

/** A customer, or an organization without one, which is listed by itself: one of the two is null. */
export type CustomerKey = Readonly<Record<'customerId' | 'orgId', string | null>>;

/** The columns of `lines.csv` that are read; the first two identify the customer. */
const ORG_COLUMNS = ['customer_id', 'org_id', 'org_name', 'referral_id', 'plan_id'] as const;
const LINE_COLUMNS = [...ORG_COLUMNS, 'metric', 'unit', 'kind', 'billed_before', 'quantity', 'total'] as const;

/** A line of the statement with a number, as it is in its pack: all values are text, and an absent one is empty. */
export type CustomerLine = Readonly<Record<(typeof LINE_COLUMNS)[number], string>> & { readonly number: number };

/** A day of the metric that is shown by day, over the organizations of the customer: of values that are billed. */
type CustomerDay = Pick<ComparedDay, 'day' | 'quantity' | 'valuesNotStored'> & { readonly standing: Standing };

export interface CustomerStatement {
  readonly key: CustomerKey;
  /** By statement, organization and metric. */
  readonly lines: readonly CustomerLine[];
  /** The metric that is shown by day; null if none of the lines has one. */
  readonly dayMetric: string | null;
  readonly days: readonly CustomerDay[];
}

/** The metrics that can be shown by day, the most telling first. */
const DAY_METRICS = ['payload_billable_count', 'notebook_minutes', 'devices_total'];

/** The rank of a standing: the worst is the highest. */
const RANK = `case standing ${standings.map((standing, rank) => `when '${standing}' then ${rank}`).join(' ')} end`;

/** Only settled numbers are billed. */
const IS_SETTLED = `standing in (${standings
  .filter(isSettled)
  .map((standing) => `'${standing}'`)
  .join()})`;

const COLUMNS = {
  lines: LINE_COLUMNS,
  days: ['org_id', 'usage_date', 'standing', ...DAY_METRICS],
  cells: ['org_id', 'usage_date', 'standing', 'stream'],
};

/** The statements of a month of one instance, in a temporary file: memory does not grow with their size. */
export class SealedMonth implements Disposable {
  readonly #file = new DatabaseSync('');

  private constructor() {
    // One transaction that is never committed: the file is thrown away.
    this.#file.exec(`pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000; begin;
      create table lines (number integer, ${COLUMNS.lines.join()});
      create index lines_customer on lines (customer_id, org_id);
      create table days (number integer, ${COLUMNS.days.join()});
      create index days_org on days (org_id, number);
      create table cells (number integer, ${COLUMNS.cells.join()});
      create index cells_day on cells (org_id, usage_date, stream, number)`);
  }

  /** Reads the packs of statements, of one customer or of all. Throws SealError if one is not as it was sealed. */
  static async read(
    db: Kysely<Schema>,
    statements: readonly Statement[],
    { customer = null, signal }: { customer?: CustomerKey | null; signal: AbortSignal },
  ): Promise<SealedMonth> {
    using stack = new DisposableStack();
    const month = stack.use(new SealedMonth());
    for (const statement of statements) {
      const source = { db, statement, manifest: await readManifest(db, statement), signal };
      const orgIds = new Set<string>();
      await month.#import(source, 'lines', (customerId, orgId) => {
        const isCustomer =
          customerId === (customer?.customerId ?? '') && (customerId !== '' || orgId === customer?.orgId);
        if (customer === null || isCustomer) orgIds.add(orgId);
        return customer === null || isCustomer;
      });
      await month.#import(source, 'days', (orgId) => orgIds.has(orgId));
      // The standing of a day is that of the worst of its streams, so only these days need their cells.
      const days = month.#file.prepare(`select org_id || ' ' || usage_date as key from days
        where number = ? and not ${IS_SETTLED}`);
      const keys = new Set(days.all(statement.number).map(({ key }) => key));
      if (keys.size > 0) await month.#import(source, 'cells', (orgId, day) => keys.has(`${orgId} ${day}`));
    }
    stack.move();
    return month;
  }

  /**
   * Imports the rows of a file that `isSelected` takes by the values of their first two columns. Throws SealError if
   * the file was changed.
   */
  async #import(
    source: Source,
    table: keyof typeof COLUMNS,
    isSelected: (first: string, second: string) => boolean,
  ): Promise<void> {
    const { db, statement, manifest, signal } = source;
    const name = `${table}.csv`;
    const marks = ['?', ...COLUMNS[table].map(() => '?')];
    const insert = this.#file.prepare(`insert into ${table} values (${marks.join()})`);
    let indexes: number[] | null = null;
    const valueAt = (record: string[], index = -1) => restoreCsvText(record[index] ?? '');
    try {
      const bytes = checkBytes(manifest, name, readStoredFile(db, statement.statementId, name));
      for await (const records of readRecords(bytes)) {
        signal.throwIfAborted();
        const head: string[] = indexes === null ? (records.shift() ?? []) : [];
        indexes ??= COLUMNS[table].map((column) => head.indexOf(column));
        for (const record of records) {
          if (!isSelected(valueAt(record, indexes[0]), valueAt(record, indexes[1]))) continue;
          insert.run(statement.number, ...indexes.map((index) => valueAt(record, index)));
        }
      }
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      const { done: isMissing } = await readStoredFile(db, statement.statementId, name).next();
      throw new SealError(statement, name, isMissing ? 'is missing' : 'was changed');
    }
  }

  /** Yields the statements of the customers, in the order of their IDs, those without one at the end. */
  *customers(): Generator<CustomerStatement> {
    const keys = this.#file.prepare(`select distinct nullif(customer_id, '') as customerId,
      iif(customer_id = '', org_id, null) as orgId from lines order by customer_id = '', 1, 2`);
    for (const key of keys.all()) yield this.#readCustomer(key as CustomerKey);
  }

  #readCustomer(key: CustomerKey): CustomerStatement {
    const isOfKey = key.customerId === null ? `l.customer_id = '' and l.org_id = $id` : 'l.customer_id = $id';
    const id = { $id: key.customerId ?? key.orgId };
    const lines = this.#file
      .prepare(`select * from lines l where ${isOfKey} order by l.number, lower(l.org_name), l.org_id, l.rowid`)
      .all(id) as CustomerLine[];
    const dayMetric = DAY_METRICS.find((metric) => lines.some((line) => line.metric === metric)) ?? null;
    if (dayMetric === null) return { key, lines, dayMetric, days: [] };
    const stream = streams.find(({ columns }) => columns.includes(dayMetric));
    // The days of an organization are those of the newest statement that bills the metric.
    const days = this.#file
      .prepare(`select day, max(${RANK}) as standing, sum(value) as quantity, sum(value is null) as valuesNotStored
        from (
          select day, standing, iif(${IS_SETTLED}, cast(nullif(number, '') as real), null) as value
          from (
            select d.usage_date as day, coalesce(c.standing, d.standing) as standing, d.${dayMetric} as number
            from days d join (
              select l.org_id, max(l.number) as number from lines l
              where ${isOfKey} and l.metric = $metric group by l.org_id
            ) as n on n.org_id = d.org_id and n.number = d.number
            left join cells c on c.org_id = d.org_id and c.usage_date = d.usage_date and c.stream = $stream
              and c.number = d.number
          )
        ) group by day order by day`)
      .all({ ...id, $metric: dayMetric, $stream: stream?.name ?? null })
      .map((row) => ({ ...row, standing: standings[Number(row['standing'])] }) as CustomerDay);
    return { key, lines, dayMetric, days };
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

interface Source {
  readonly db: Kysely<Schema>;
  readonly statement: Statement;
  readonly manifest: Manifest;
  readonly signal: AbortSignal;
}

async function readManifest(db: Kysely<Schema>, statement: Statement): Promise<Manifest> {
  const text = await readManifestText(db, statement.statementId);
  const manifest = hashOf(text) === statement.manifestSha256 ? parseManifest(text) : 'changed';
  if (typeof manifest === 'string') throw new SealError(statement, MANIFEST_NAME, 'was changed');
  const isUnchanged = manifest.statement.id === statement.statementId && (await matchesRow(db, manifest.statement));
  if (!isUnchanged) throw new SealError(statement, 'the row', 'was changed');
  return manifest;
}

/** A file of a pack is not as it was sealed. */
export class SealError extends AppError {
  constructor({ instanceId, number }: Statement, name: string, problem: string) {
    super(
      'pack_differs',
      `${name} of statement ${number} of instance ${instanceId} ${problem} in the database since the month was closed`,
      { hint: 'check an archived pack with losant-usage verify, and restore the database from a backup' },
    );
  }
}
