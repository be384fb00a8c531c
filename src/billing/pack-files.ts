/**
 * The files of a proof pack as their writer makes them and a reader may rely on them: columns, forms of values
 * and the key by which rows are ordered. `lines.csv` and everything behind it is ordered by organization first.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type CsvColumn, readCsv } from '../files/csv.ts';
import { codeOf } from '../files/whole-file.ts';
import { streams } from '../usage/streams/catalog.ts';
import type { Manifest } from './pack.ts';

/** A row of a file, by column. */
export type PackRow = Readonly<Record<string, string | null>>;

export interface PackMetric {
  readonly stream: string;
  readonly unit: string;
  readonly kind: 'flow' | 'level';
}

const UNITS: Readonly<Record<string, string>> = {
  ...{ devices_created: 'devices', devices_deleted: 'devices', devices_total: 'devices' },
  ...{ notebook_minutes: 'minutes', notebook_completed: 'executions', notebook_canceled: 'executions' },
  ...{ notebook_errored: 'executions', notebook_timeout: 'executions', payload_billable_count: 'payloads' },
  ...{ payload_all_count: 'payloads', payload_all_bytes: 'bytes', payload_source_count: 'payloads' },
};

/** The metrics of statements, in their order: the table `metrics` without a database. */
export const METRICS: ReadonlyMap<string, PackMetric> = new Map(
  streams.flatMap(({ name, metrics }) =>
    metrics.flatMap((metric): [string, PackMetric][] => {
      const unit = UNITS[metric];
      const kind = metric === 'devices_total' ? 'level' : 'flow';
      return unit === undefined ? [] : [[metric, { stream: name, unit, kind }]];
    }),
  ),
);

const WHOLE = /^(0|-?[1-9]\d*)$/;
const COUNT = /^(0|[1-9]\d*)$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/;
const YES = /^(true|false)$/;
const ID = /^[0-9a-f]{24}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const STANDING = /^(final|accepted|stored|waiting|unavailable|in_doubt|missing)$/;
/** Names that the database gives: of metrics, units and streams, and ids of runs. */
const NAMES = /^[\w -]+$/;
/** The same, of an array. */
const LIST = /^[\w -]+$/;
/** Any text, which may need quotes. */
const TEXT = /^/;

/** A form of values; with `null`, a value may be absent. */
type Form = RegExp | readonly [RegExp, null];

interface FileForm {
  readonly columns: Readonly<Record<string, Form>>;
  readonly key: readonly string[];
}

const LINE_DAYS = [
  ...['days_in_period', 'days_expected', 'days_stored', 'days_final', 'days_accepted', 'days_not_final'],
  ...['days_unavailable', 'days_in_doubt', 'days_missing', 'days_unreported', 'days_by_hand'],
];

const FILES = {
  'lines.csv': {
    columns: {
      ...{ org_id: ID, org_name: TEXT, referral_id: [TEXT, null], plan_id: [TEXT, null] },
      ...{ customer_id: [TEXT, null], period_start: DAY, period_end: DAY, metric: NAMES, unit: NAMES },
      ...{ kind: /^(flow|level)$/, quantity: [WHOLE, null], total: [COUNT, null], total_max: [COUNT, null] },
      ...{ total_avg: [/^\d+\.\d{2}$/, null] },
      ...Object.fromEntries(LINE_DAYS.map((name) => [name, COUNT])),
      ...{ is_billable: YES, revision_watermark: COUNT },
    },
    key: ['org_id', 'period_start', 'metric'],
  },
  'sources.csv': {
    columns: {
      ...{ org_id: ID, period_start: DAY, payload_type: TEXT, source: TEXT, quantity: WHOLE, total: COUNT },
    },
    key: ['org_id', 'period_start', 'payload_type', 'source'],
  },
  'days.csv': {
    columns: {
      ...{ org_id: ID, period_start: DAY, usage_date: DAY, streams_expected: COUNT, streams_stored: COUNT },
      ...{ is_reported: [YES, null], standing: STANDING },
      ...Object.fromEntries([...METRICS.keys()].map((metric): [string, Form] => [metric, [COUNT, null]])),
    },
    key: ['org_id', 'usage_date'],
  },
  'coverage.csv': {
    columns: {
      ...{ org_id: ID, usage_date: DAY, stream: NAMES, standing: STANDING, is_stored: YES, is_reported: YES },
      ...{ revision: COUNT, verified_at: [INSTANT, null], response_sha256: [SHA256, null] },
      ...{ run_id: [NAMES, null], reason: [TEXT, null], message: [TEXT, null] },
    },
    key: ['org_id', 'usage_date', 'stream'],
  },
  'revisions.csv': {
    columns: {
      ...{ org_id: ID, usage_date: DAY, stream: NAMES, id: COUNT, revision: COUNT, key: TEXT },
      ...{ old: [TEXT, null], new: [TEXT, null], run_id: [NAMES, null], changed_by: TEXT },
      ...{ changed_at: INSTANT, was_final: YES },
    },
    key: ['org_id', 'usage_date', 'stream', 'id'],
  },
  'waivers.csv': {
    columns: {
      ...{ org_id: ID, usage_date: DAY, stream: NAMES, id: COUNT, reason: TEXT, waived_by: TEXT },
      ...{ waived_at: INSTANT, lifted_at: [INSTANT, null] },
    },
    key: ['org_id', 'usage_date', 'stream', 'id'],
  },
  'blockers.csv': {
    columns: {
      ...{ position: COUNT, org_id: [ID, null], org_name: [TEXT, null], period_start: DAY, period_end: DAY },
      ...{ cause: /^[a-z_]+$/, days: [COUNT, null], first_day: DAY, last_day: DAY, streams: [LIST, null] },
      ...{ what_to_do: TEXT },
    },
    key: ['position'],
  },
} satisfies Readonly<Record<string, FileForm>>;

export type PackFileName = keyof typeof FILES;

/** The files that every pack has, in the order in which they are made. */
export const PACK_FILES = Object.keys(FILES) as readonly PackFileName[];

/** The files behind `lines.csv`, ordered by organization. */
export const BEHIND = ['sources.csv', 'days.csv', 'coverage.csv', 'revisions.csv', 'waivers.csv'] as const;
export type BehindName = (typeof BEHIND)[number];

const formOf = (form: Form) =>
  form instanceof RegExp ? { form, isOptional: false } : { form: form[0], isOptional: true };

/** A column of a file, and how its values are made text: those of any text are `isText`. */
export interface PackColumn extends CsvColumn {
  readonly type: 'instant' | 'sha256' | 'list' | null;
}

const TYPES = new Map<RegExp, PackColumn['type']>([
  [INSTANT, 'instant'],
  [SHA256, 'sha256'],
  [LIST, 'list'],
]);

export function columnsOf(name: PackFileName): PackColumn[] {
  const { columns }: FileForm = FILES[name];
  return Object.entries(columns).map(([column, value]) => {
    const { form } = formOf(value);
    return { name: column, isText: form === TEXT, type: TYPES.get(form) ?? null };
  });
}

/** `keyOf` returns the columns that identify the rows of a file and order them. */
export function keyOf(name: PackFileName): readonly string[] {
  return FILES[name].key;
}

/** A file of a pack is not what a statement writes; nothing after the row can be relied on. */
export class BrokenFileError extends Error {
  readonly file: PackFileName;

  constructor(file: PackFileName, problem: string) {
    super(problem);
    this.file = file;
  }
}

/** `readChunks` yields the bytes of a file in one buffer, whose bytes are others with each chunk. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(65_536);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/**
 * `readPackFile` yields the rows of a file of a pack, in pages. Throws BrokenFileError with the row for a
 * value of another form, a row out of order or doubled, and a file that is no CSV or has other columns.
 */
export async function* readPackFile(
  { place, manifest }: { readonly place: string; readonly manifest: Manifest },
  name: PackFileName,
): AsyncGenerator<readonly PackRow[]> {
  const { columns, key }: FileForm = FILES[name];
  const names = Object.keys(columns);
  const forms = Object.values(columns).map(formOf);
  let number = 1;
  let before: PackRow | null = null;
  const check = (cells: readonly (string | null)[]): PackRow => {
    number += 1;
    const row: Record<string, string | null> = {};
    for (let index = 0; index < forms.length; index += 1) {
      const { form, isOptional } = forms[index] as (typeof forms)[number];
      const value = cells[index] ?? null;
      if (value === null ? !isOptional : form !== TEXT && !form.test(value)) {
        throw new BrokenFileError(name, `line ${number}: ${names[index]} is ${value ?? 'empty'}`);
      }
      row[names[index] as string] = value;
    }
    const order = before === null ? -1 : compareKeys(before, row, key);
    if (order === 0) throw new BrokenFileError(name, `line ${number} has the key of the line before it`);
    if (order > 0) throw new BrokenFileError(name, `line ${number} is out of order`);
    before = row;
    return row;
  };
  try {
    for await (const page of readCsv(columnsOf(name), readChunks(join(place, name)))) {
      yield page.map(check);
    }
  } catch (error) {
    if (['ENOENT', 'EISDIR'].includes(codeOf(error) ?? '')) throw new BrokenFileError(name, 'is missing');
    if (!(error instanceof SyntaxError)) throw error;
    throw new BrokenFileError(name, `is no CSV file of a pack: ${error.message}`);
  }
  const rows = manifest.files.find((file) => file.name === name)?.rows;
  if (rows === number - 1) return;
  throw new BrokenFileError(name, `has ${number - 1} rows, the manifest says ${rows ?? 'nothing of it'}`);
}

/** `compareKeys` compares keys in the order of the database: numbers by value, text by its bytes. */
function compareKeys(a: PackRow, b: PackRow, key: readonly string[]): number {
  for (const column of key) {
    const [one, other] = [a[column] as string, b[column] as string];
    if (one === other) continue;
    if (column === 'id' || column === 'position') return Number(one) - Number(other);
    // Ids, days and names of streams have a byte for each code unit.
    if (column !== 'payload_type' && column !== 'source') return one < other ? -1 : 1;
    return Buffer.compare(Buffer.from(one), Buffer.from(other));
  }
  return 0;
}

/** Hands out the rows of a file that is ordered by organization, one organization after another. */
export class RowsByOrganization {
  readonly #pages: AsyncGenerator<readonly PackRow[]>;
  #page: readonly PackRow[] = [];
  #next = 0;

  constructor(pages: AsyncGenerator<readonly PackRow[]>) {
    this.#pages = pages;
  }

  /** Returns the organization of the next row; null at the end. */
  async peek(): Promise<string | null> {
    while (this.#next >= this.#page.length) {
      const next = await this.#pages.next();
      if (next.done === true) return null;
      this.#page = next.value;
      this.#next = 0;
    }
    return this.#page[this.#next]?.['org_id'] ?? null;
  }

  /** Passes over the rows of the organizations before one, or of all that are left, and returns these. */
  async passOver(until: string | null): Promise<string[]> {
    const passed: string[] = [];
    for (
      let next = await this.peek();
      next !== null && (until === null || next < until);
      next = await this.peek()
    ) {
      passed.push(next);
      await this.take(next);
    }
    return passed;
  }

  /** Returns the rows of an organization, which must be the next one; none if it is not. */
  async take(orgId: string): Promise<PackRow[]> {
    const taken: PackRow[] = [];
    while ((await this.peek()) === orgId) {
      const start = this.#next;
      while (this.#page[this.#next]?.['org_id'] === orgId) this.#next += 1;
      taken.push(...this.#page.slice(start, this.#next));
    }
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pages.return(undefined);
  }
}
