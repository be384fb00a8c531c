/** Checks one organization of a proof pack: its lines against its days, and these against its cells. */
import { type DayRange, daysFrom } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { isSettled, type Standing, worstStanding } from '../usage/standing.ts';
import type { OpenStatement } from './pack.ts';
import { type BehindName, METRICS, type PackRow } from './pack-files.ts';

/** A period with its rows, those of lines by metric. */
interface Period extends DayRange {
  readonly lines: Map<string, PackRow>;
  readonly cells: PackRow[];
  readonly days: PackRow[];
  readonly sources: PackRow[];
  readonly revisions: PackRow[];
}

/** The totals of an organization by the preceding statements of a month; empty before the closing. */
export interface Billed {
  readonly lines: ReadonlyMap<string, string | null>;
  readonly sources: ReadonlyMap<string, string | null>;
}

export function keyOfLine(line: PackRow): string {
  return `${line['period_start']} ${line['metric']}`;
}

export function keyOfSource({ period_start, payload_type, source }: PackRow): string {
  return JSON.stringify([period_start, payload_type, source]);
}

/** Takes a problem of a file. */
export type Report = (file: string, problem: string) => void;

export function show(text: string | null | undefined): string {
  return text ?? 'not stored';
}

interface OrganizationRows {
  readonly statement: OpenStatement;
  readonly orgId: string;
  readonly lines: readonly PackRow[];
  /** The rows of the files behind the lines, by name. */
  readonly files: ReadonlyMap<string, readonly PackRow[]>;
  /** The lines and sources that the preceding statements have billed; null if they are not known. */
  readonly billed: Billed | null;
  /** The organizations of accepted blockers; null stands for all of an instance. */
  readonly blocked: ReadonlySet<string | null>;
  readonly report: Report;
}

/** Whether a cell of a standing is stored; an accepted one may be either. */
const IS_STORED: Partial<Record<Standing, boolean>> = {
  ...{ final: true, stored: true, in_doubt: true, missing: false, waiting: false, unavailable: false },
};

/** One organization of a pack. */
export class Organization {
  readonly #rows: OrganizationRows;
  readonly #periods = new Map<string, Period>();
  readonly #cells = new Map<string, PackRow[]>();

  constructor(rows: OrganizationRows) {
    this.#rows = rows;
    for (const line of rows.lines) this.#place(line);
  }

  check(): void {
    this.#checkPeriods();
    this.#placeCells();
    this.#placeDays();
    this.#placeSources();
    this.#checkRevisions();
    this.#checkWaivers();
    for (const period of this.#periods.values()) {
      this.#checkSources(period);
      for (const line of period.lines.values()) this.#checkLine(line, period);
      this.#checkComplete(period);
    }
    const isOpen = [...this.#periods.values()].some((period) => !isAllSettled(period));
    if (isOpen && !this.#rows.blocked.has(this.#rows.orgId)) {
      this.#say('blockers.csv')('not every cell is final or accepted, and no blocker was accepted');
    }
  }

  #rowsOf(name: BehindName): readonly PackRow[] {
    return this.#rows.files.get(name) ?? [];
  }

  /** Returns what takes the problems of a file. */
  #say(file: string): (problem: string) => void {
    return (problem) => this.#rows.report(file, `organization ${this.#rows.orgId}: ${problem}`);
  }

  /** Assigns a line to its period; every line of one names the same end and the same customer. */
  #place(line: PackRow): void {
    const say = this.#say('lines.csv');
    const start = line['period_start'] as string;
    const known = this.#periods.get(start);
    const metric = METRICS.get(line['metric'] ?? '');
    if (metric === undefined || metric.unit !== line['unit'] || metric.kind !== line['kind']) {
      say(`${line['metric']} from ${start}: there is no such metric in ${line['unit']}, ${line['kind']}`);
    }
    if (known === undefined) {
      const to = line['period_end'] as string;
      this.#periods.set(start, {
        ...{ from: start, to, lines: new Map([[line['metric'] as string, line]]) },
        ...{ cells: [], days: [], sources: [], revisions: [] },
      });
      return;
    }
    const [first] = known.lines.values();
    for (const column of ['period_end', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'is_billable']) {
      if (line[column] === first?.[column]) continue;
      say(`${line['metric']} from ${start}: ${column} is not that of the other lines`);
    }
    known.lines.set(line['metric'] as string, line);
  }

  #checkPeriods(): void {
    const say = this.#say('lines.csv');
    const { month, periods } = this.#rows.statement;
    const bounds = daysOfMonth(month);
    let before: Period | null = null;
    for (const period of this.#periods.values()) {
      const isInside = period.from <= period.to && period.to <= bounds.to;
      if (!isInside || (periods === 'calendar' && period.from < bounds.from)) {
        say(`the period ${period.from}..${period.to} is not one of ${month}`);
      }
      if (before !== null && before.to >= period.from) {
        say(`the periods from ${before.from} and from ${period.from} have days in common`);
      }
      before = period;
    }
  }

  #periodOf(day: string): Period | undefined {
    for (const period of this.#periods.values()) if (day >= period.from && day <= period.to) return period;
    return undefined;
  }

  /** Returns the cell that a row of another file is about. */
  #cellOf(row: PackRow): PackRow | undefined {
    return this.#cells.get(row['usage_date'] as string)?.find(({ stream }) => stream === row['stream']);
  }

  #placeCells(): void {
    const say = this.#say('coverage.csv');
    for (const cell of this.#rowsOf('coverage.csv')) {
      const day = cell['usage_date'] as string;
      const period = this.#periodOf(day);
      if (period === undefined) {
        say(`${day} lies in no period of lines.csv`);
        continue;
      }
      const { stream, standing, is_stored } = cell;
      if (is_stored !== `${IS_STORED[standing as Standing] ?? is_stored}`) {
        say(`${day} ${stream}: ${standing}, and is_stored is ${is_stored}`);
      }
      period.cells.push(cell);
      this.#cells.set(day, [...(this.#cells.get(day) ?? []), cell]);
    }
  }

  #placeDays(): void {
    const say = this.#say('days.csv');
    const seen = new Set<string>();
    for (const day of this.#rowsOf('days.csv')) {
      const date = day['usage_date'] as string;
      seen.add(date);
      const period = this.#periodOf(date);
      if (period === undefined || period.from !== day['period_start']) {
        say(`${date} does not lie in the period from ${day['period_start']} of lines.csv`);
        continue;
      }
      this.#checkDay(date, day);
      period.days.push(day);
    }
    for (const date of this.#cells.keys()) {
      if (!seen.has(date)) say(`${date} is missing, coverage.csv has cells of it`);
    }
  }

  /** A day is what its cells are: as many, as good, and with the numbers of those that are stored. */
  #checkDay(date: string, day: PackRow): void {
    const say = this.#say('days.csv');
    const cells = this.#cells.get(date) ?? [];
    const stored = cells.filter(({ is_stored }) => is_stored === 'true');
    const isReported = stored.every(({ is_reported }) => is_reported === 'true');
    const expected = {
      streams_expected: `${cells.length}`,
      streams_stored: `${stored.length}`,
      is_reported: stored.length === 0 ? null : `${isReported}`,
      standing: worstStanding(cells.map(({ standing }) => standing as Standing)),
    };
    for (const [column, value] of Object.entries(expected)) {
      if (day[column] === value) continue;
      say(`${date}: ${column} is ${show(day[column])}, by coverage.csv ${show(value)}`);
    }
    const streams = new Set(stored.map(({ stream }) => stream));
    for (const [metric, { stream }] of METRICS) {
      if ((day[metric] !== null) === streams.has(stream)) continue;
      const is = day[metric] === null ? 'missing' : day[metric];
      say(`${date}: ${metric} is ${is}, coverage.csv says ${streams.has(stream) ? 'stored' : 'not stored'}`);
    }
  }

  #placeSources(): void {
    for (const row of this.#rowsOf('sources.csv')) {
      const start = row['period_start'] as string;
      const period = this.#periods.get(start);
      if (period?.lines.has('payload_source_count')) period.sources.push(row);
      else this.#say('sources.csv')(`the period from ${start} has no line of payload_source_count`);
    }
  }

  /** The sources of a closing come to its line; those of an adjustment are what changed of them. */
  #checkSources(period: Period): void {
    const say = this.#say('sources.csv');
    const line = period.lines.get('payload_source_count');
    if (line === undefined) return;
    const sum = (column: string) => period.sources.reduce((all, row) => all + BigInt(row[column] ?? 0), 0n);
    const name = `the sources from ${period.from}`;
    const isClosing = this.#rows.statement.kind === 'closing';
    if (line['quantity'] !== null && sum('quantity') !== BigInt(line['quantity'] ?? 0)) {
      say(`${name} come to ${sum('quantity')}, lines.csv has ${line['quantity']}`);
    }
    if (isClosing && sum('total') !== BigInt(line['total'] ?? 0)) {
      say(`${name} come to a total of ${sum('total')}, lines.csv has ${show(line['total'])}`);
    }
    const { billed } = this.#rows;
    for (const row of billed === null ? [] : period.sources) {
      const { payload_type, source, quantity = null, total = null } = row;
      const expected = BigInt(total ?? 0) - BigInt(billed?.sources.get(keyOfSource(row)) ?? 0);
      if (BigInt(quantity ?? 0) === expected) continue;
      say(`${payload_type} ${source} from ${period.from}: the quantity is ${quantity}, not ${expected}`);
    }
  }

  /** Each change on record is older than the moment; the newest of a cell is the number of its day. */
  #checkRevisions(): void {
    const say = this.#say('revisions.csv');
    const { closedAt } = this.#rows.statement;
    const newest = new Map<string, PackRow>();
    for (const row of this.#rowsOf('revisions.csv')) {
      const date = row['usage_date'] as string;
      const period = this.#periodOf(date);
      if (period === undefined) say(`${date} lies in no period of lines.csv`);
      else period.revisions.push(row);
      if ((row['changed_at'] ?? '') > closedAt) {
        say(`${date} ${row['stream']}: revision ${row['id']} is newer than the statement`);
      }
      if (row['key'] === '{}') newest.set(`${date} ${row['stream']}`, row);
    }
    const days = new Map(this.#rowsOf('days.csv').map((day) => [day['usage_date'], day]));
    for (const [name, row] of newest) {
      const cell = this.#cellOf(row);
      if (cell?.['is_stored'] !== 'true') continue;
      if (Number(row['revision']) > Number(cell['revision'])) {
        this.#say('coverage.csv')(
          `${name}: revision ${cell['revision']}, revisions.csv has ${row['revision']}`,
        );
      }
      this.#compareRevision(name, row, days.get(row['usage_date'] ?? null));
    }
  }

  #compareRevision(name: string, row: PackRow, day: PackRow | undefined): void {
    const say = this.#say('revisions.csv');
    const text = row['new'] ?? '{}';
    if (!/^\{("\w+": \d+(, |(?=\})))*\}$/.test(text)) {
      say(`${name}: new is not a map of numbers`);
      return;
    }
    const values = text.match(/(?<=: )\d+/g) ?? [];
    const metrics = [...METRICS].filter(([, { stream }]) => stream === row['stream']);
    const numbers = metrics.flatMap(([metric]) => day?.[metric] ?? []).toSorted();
    if (JSON.stringify(values.toSorted()) === JSON.stringify(numbers)) return;
    say(`${name}: the newest revision has ${values.join(', ')}, days.csv ${numbers.join(', ')}`);
  }

  /** A cell is accepted if and only if a waiver of it holds. */
  #checkWaivers(): void {
    const say = this.#say('waivers.csv');
    const waived = new Set<string>();
    for (const row of this.#rowsOf('waivers.csv')) {
      const name = `${row['usage_date']} ${row['stream']}`;
      const cell = this.#cellOf(row);
      if ((row['waived_at'] ?? '') > this.#rows.statement.closedAt)
        say(`${name}: it is newer than the statement`);
      if (row['lifted_at'] !== null) continue;
      waived.add(name);
      if (cell !== undefined && cell['standing'] !== 'accepted') {
        say(`${name}: it is accepted, coverage.csv says ${cell['standing']}`);
      }
    }
    for (const cell of [...this.#cells.values()].flat()) {
      const name = `${cell['usage_date']} ${cell['stream']}`;
      if (cell['standing'] === 'accepted' && !waived.has(name)) {
        say(`${name}: coverage.csv says accepted, and no waiver holds`);
      }
    }
  }

  #checkLine(line: PackRow, period: Period): void {
    const say = this.#say('lines.csv');
    const metric = line['metric'] as string;
    const name = `${metric} from ${period.from}`;
    const numbers = period.days.flatMap((day) => day[metric] ?? []).map(BigInt);
    const sum = numbers.reduce((all, number) => all + number, 0n);
    const total = line['kind'] === 'level' ? numbers.at(-1) : numbers.length === 0 ? undefined : sum;
    const levels = line['kind'] === 'level' ? numbers : [];
    const cells = cellsOf(period, METRICS.get(metric)?.stream);
    const stored = cells.filter(({ is_stored }) => is_stored === 'true');
    const byHand = stored.filter(({ verified_at }) => verified_at === null);
    const unreported = stored.filter((cell) => cell['is_reported'] === 'false' && !byHand.includes(cell));
    const counted = (...standings: Standing[]) =>
      `${cells.filter(({ standing }) => standings.includes(standing as Standing)).length}`;
    const expected: Record<string, string | null> = {
      total: total === undefined ? null : `${total}`,
      total_max: levels.length === 0 ? null : `${levels.reduce((a, b) => (a > b ? a : b))}`,
      total_avg: levels.length === 0 ? null : averageOf(sum, BigInt(levels.length)),
      days_in_period: `${daysFrom(period.from, period.to) + 1}`,
      days_expected: `${cells.length}`,
      days_stored: `${stored.length}`,
      days_final: counted('final'),
      days_accepted: counted('accepted'),
      days_not_final: counted('stored', 'waiting'),
      days_unavailable: counted('unavailable'),
      days_in_doubt: counted('in_doubt'),
      days_missing: counted('missing'),
      days_unreported: `${unreported.length}`,
      days_by_hand: `${byHand.length}`,
      revision_watermark: `${period.revisions.reduce((newest, { id }) => Math.max(newest, Number(id)), 0)}`,
    };
    for (const [column, value] of Object.entries(expected)) {
      if (line[column] === value) continue;
      const what = column.startsWith('total') ? 'its days come to' : 'the rows behind it say';
      say(`${name}: ${column} is ${show(line[column])}, ${what} ${show(value)}`);
    }
    if (line['is_billable'] === 'true' && !isAllSettled(period)) {
      say(`${name}: is_billable is true, coverage.csv has cells that are neither final nor accepted`);
    }
    if (line['is_billable'] === 'false' && this.#rows.blocked.size === 0) {
      say(`${name}: is_billable is false, and blockers.csv has no blocker`);
    }
    this.#checkQuantity(line, name);
  }

  #checkQuantity(line: PackRow, name: string): void {
    const say = this.#say('lines.csv');
    const settled = Number(line['days_final']) + Number(line['days_accepted']);
    if (this.#rows.statement.kind === 'adjustment' && settled !== Number(line['days_expected'])) {
      say(`${name}: it is adjusted, and not every day is final or accepted`);
    }
    const { billed } = this.#rows;
    if (billed === null) return;
    const expected = difference(line['total'] ?? null, billed.lines.get(keyOfLine(line)) ?? null);
    if (line['quantity'] !== expected) {
      say(`${name}: the quantity is ${show(line['quantity'])}, not ${show(expected)}`);
    }
  }

  /** A closing has a line for each metric of each stream that is tracked. */
  #checkComplete(period: Period): void {
    const isClosing = this.#rows.statement.kind === 'closing';
    for (const [metric, { stream }] of METRICS) {
      const hasCells = cellsOf(period, stream).length > 0;
      if (isClosing && hasCells && !period.lines.has(metric)) {
        this.#say('lines.csv')(`${metric} from ${period.from} is missing, coverage.csv has cells of it`);
      }
      if (period.lines.has(metric) && !hasCells) {
        this.#say('coverage.csv')(`no cell of ${stream} from ${period.from}, lines.csv has ${metric}`);
      }
    }
  }
}

function cellsOf({ cells }: Period, stream: string | undefined): PackRow[] {
  return cells.filter((cell) => cell['stream'] === stream);
}

function isAllSettled({ cells }: Period): boolean {
  return cells.every(({ standing }) => isSettled(standing as Standing));
}

/** `averageOf` returns the average of a sum, rounded to hundredths as Postgres does. */
function averageOf(sum: bigint, count: bigint): string {
  const hundredths = (sum * 200n + count) / (count * 2n);
  return `${hundredths / 100n}.${`${hundredths % 100n}`.padStart(2, '0')}`;
}

/** `difference` returns what an adjustment bills: a number that was not stored before is billed as a whole. */
function difference(now: string | null, before: string | null): string | null {
  if (now === null) return before === null ? null : `${-BigInt(before)}`;
  return before === null ? now : `${BigInt(now) - BigInt(before)}`;
}
