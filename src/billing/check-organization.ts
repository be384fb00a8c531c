/** Checks one organization of a proof pack: its lines against its days, and these against its cells. */
import { type DayRange, daysFrom } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { isSettled, type Standing, worstStanding } from '../usage/standing.ts';
import { type BehindName, METRICS, type PackRow } from './pack-files.ts';
import {
  addNumber,
  averageOf,
  type Billed,
  difference,
  keyOfLine,
  keyOfSource,
  parseNumbers,
  type Report,
  type Sum,
  show,
} from './pack-sums.ts';
import type { Pack } from './verify.ts';

/** The cells of a stream in a period, counted. */
interface StreamDays {
  readonly standings: Partial<Record<Standing, number>>;
  expected: number;
  stored: number;
  unreported: number;
  byHand: number;
}

interface Period extends DayRange {
  readonly lines: Map<string, PackRow>;
  readonly streams: Map<string, StreamDays>;
  readonly sums: Map<string, Sum>;
  readonly sources: PackRow[];
  watermark: number;
  isSettled: boolean;
}

interface OrganizationRows {
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
  readonly #pack: Pack;
  readonly #rows: OrganizationRows;
  readonly #periods = new Map<string, Period>();
  readonly #cells = new Map<string, PackRow[]>();

  constructor(pack: Pack, rows: OrganizationRows) {
    this.#pack = pack;
    this.#rows = rows;
    for (const line of rows.lines) this.#place(line);
  }

  check(): void {
    this.#checkPeriods();
    this.#countCells();
    this.#sumDays();
    this.#placeSources();
    this.#checkRevisions();
    this.#checkWaivers();
    for (const period of this.#periods.values()) {
      this.#checkSources(period);
      for (const line of period.lines.values()) this.#checkLine(line, period);
      this.#checkComplete(period);
    }
    const isOpen = [...this.#periods.values()].some((period) => !period.isSettled);
    if (isOpen && !this.#rows.blocked.has(this.#rows.orgId)) {
      this.#say('blockers.csv', 'not every cell is final or accepted, and no blocker was accepted');
    }
  }

  #rowsOf(name: BehindName): readonly PackRow[] {
    return this.#rows.files.get(name) ?? [];
  }

  #say(file: string, problem: string): void {
    this.#rows.report(file, `organization ${this.#rows.orgId}: ${problem}`);
  }

  #sayOf(file: string): (problem: string) => void {
    return (problem) => this.#say(file, problem);
  }

  /** Assigns a line to its period; every line of one names the same end and the same customer. */
  #place(line: PackRow): void {
    const say = this.#sayOf('lines.csv');
    const start = line['period_start'] as string;
    const known = this.#periods.get(start);
    const metric = METRICS.get(line['metric'] ?? '');
    if (metric === undefined || metric.unit !== line['unit'] || metric.kind !== line['kind']) {
      say(`${line['metric']} from ${start}: there is no such metric in ${line['unit']}, ${line['kind']}`);
    }
    if (known === undefined) {
      const to = line['period_end'] as string;
      this.#periods.set(start, {
        ...{ from: start, to, lines: new Map([[line['metric'] as string, line]]), streams: new Map() },
        ...{ sums: new Map(), sources: [], watermark: 0, isSettled: true },
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
    const say = this.#sayOf('lines.csv');
    const { month, periods } = this.#pack.manifest.statement;
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

  #countCells(): void {
    const say = this.#sayOf('coverage.csv');
    for (const cell of this.#rowsOf('coverage.csv')) {
      const day = cell['usage_date'] as string;
      const period = this.#periodOf(day);
      if (period === undefined) {
        say(`${day} lies in no period of lines.csv`);
        continue;
      }
      const stream = cell['stream'] as string;
      const standing = cell['standing'] as Standing;
      const isStored = cell['is_stored'] === 'true';
      const none = { standings: {}, expected: 0, stored: 0, unreported: 0, byHand: 0 };
      const known: StreamDays = period.streams.get(stream) ?? none;
      period.streams.set(stream, known);
      known.expected += 1;
      known.standings[standing] = (known.standings[standing] ?? 0) + 1;
      if (isStored) known.stored += 1;
      if (isStored && cell['verified_at'] === null) known.byHand += 1;
      else if (isStored && cell['is_reported'] === 'false') known.unreported += 1;
      if (!isSettled(standing)) period.isSettled = false;
      if (isStored !== (IS_STORED[standing] ?? isStored)) {
        say(`${day} ${stream}: ${standing}, and is_stored is ${cell['is_stored']}`);
      }
      this.#cells.set(day, [...(this.#cells.get(day) ?? []), cell]);
    }
  }

  #sumDays(): void {
    const say = this.#sayOf('days.csv');
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
      for (const metric of METRICS.keys()) addNumber(period.sums, metric, day[metric] ?? null);
    }
    for (const date of this.#cells.keys()) {
      if (!seen.has(date)) say(`${date} is missing, coverage.csv has cells of it`);
    }
  }

  /** A day is what its cells are: as many, as good, and with the numbers of those that are stored. */
  #checkDay(date: string, day: PackRow): void {
    const say = this.#sayOf('days.csv');
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
      else this.#say('sources.csv', `the period from ${start} has no line of payload_source_count`);
    }
  }

  /** The sources of a closing come to its line; those of an adjustment are what changed of them. */
  #checkSources(period: Period): void {
    const say = this.#sayOf('sources.csv');
    const line = period.lines.get('payload_source_count');
    if (line === undefined) return;
    const sum = (column: string) => period.sources.reduce((all, row) => all + BigInt(row[column] ?? 0), 0n);
    const name = `the sources from ${period.from}`;
    const isClosing = this.#pack.manifest.statement.kind === 'closing';
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
    const say = this.#sayOf('revisions.csv');
    const { closedAt } = this.#pack.manifest.statement;
    const newest = new Map<string, PackRow>();
    for (const row of this.#rowsOf('revisions.csv')) {
      const date = row['usage_date'] as string;
      const period = this.#periodOf(date);
      if (period === undefined) say(`${date} lies in no period of lines.csv`);
      else period.watermark = Math.max(period.watermark, Number(row['id']));
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
        this.#say(
          'coverage.csv',
          `${name}: revision ${cell['revision']}, revisions.csv has ${row['revision']}`,
        );
      }
      this.#compareRevision(name, row, days.get(row['usage_date'] ?? null));
    }
  }

  #compareRevision(name: string, row: PackRow, day: PackRow | undefined): void {
    const say = this.#sayOf('revisions.csv');
    const values = parseNumbers(row['new'] ?? null);
    if (values === null) {
      say(`${name}: new is not a map of numbers`);
      return;
    }
    const metrics = [...METRICS].filter(([, { stream }]) => stream === row['stream']);
    const numbers = metrics.flatMap(([metric]) => day?.[metric] ?? []).toSorted();
    if (JSON.stringify(values.toSorted()) === JSON.stringify(numbers)) return;
    say(`${name}: the newest revision has ${values.join(', ')}, days.csv ${numbers.join(', ')}`);
  }

  /** A cell is accepted if and only if a waiver of it holds. */
  #checkWaivers(): void {
    const say = this.#sayOf('waivers.csv');
    const waived = new Set<string>();
    for (const row of this.#rowsOf('waivers.csv')) {
      const name = `${row['usage_date']} ${row['stream']}`;
      const cell = this.#cellOf(row);
      if ((row['waived_at'] ?? '') > this.#pack.manifest.statement.closedAt)
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
    const say = this.#sayOf('lines.csv');
    const metric = line['metric'] as string;
    const stream = METRICS.get(metric)?.stream ?? '';
    const name = `${metric} from ${period.from}`;
    const found = period.sums.get(metric);
    const isLevel = line['kind'] === 'level';
    const of = period.streams.get(stream);
    const expected: Record<string, string | null> = {
      total: found === undefined ? null : `${isLevel ? found.last : found.sum}`,
      total_max: isLevel && found !== undefined ? `${found.max}` : null,
      total_avg: isLevel && found !== undefined ? averageOf(found) : null,
      days_in_period: `${daysFrom(period.from, period.to) + 1}`,
      days_expected: `${of?.expected ?? 0}`,
      days_stored: `${of?.stored ?? 0}`,
      days_final: `${of?.standings.final ?? 0}`,
      days_accepted: `${of?.standings.accepted ?? 0}`,
      days_not_final: `${(of?.standings.stored ?? 0) + (of?.standings.waiting ?? 0)}`,
      days_unavailable: `${of?.standings.unavailable ?? 0}`,
      days_in_doubt: `${of?.standings.in_doubt ?? 0}`,
      days_missing: `${of?.standings.missing ?? 0}`,
      days_unreported: `${of?.unreported ?? 0}`,
      days_by_hand: `${of?.byHand ?? 0}`,
      revision_watermark: `${period.watermark}`,
    };
    for (const [column, value] of Object.entries(expected)) {
      if (line[column] === value) continue;
      const what = column.startsWith('total') ? 'its days come to' : 'the rows behind it say';
      say(`${name}: ${column} is ${show(line[column])}, ${what} ${show(value)}`);
    }
    if (line['is_billable'] === 'true' && !period.isSettled) {
      say(`${name}: is_billable is true, coverage.csv has cells that are neither final nor accepted`);
    }
    if (line['is_billable'] === 'false' && this.#rows.blocked.size === 0) {
      say(`${name}: is_billable is false, and blockers.csv has no blocker`);
    }
    this.#checkQuantity(line, name);
  }

  #checkQuantity(line: PackRow, name: string): void {
    const say = this.#sayOf('lines.csv');
    const settled = Number(line['days_final']) + Number(line['days_accepted']);
    if (this.#pack.manifest.statement.kind === 'adjustment' && settled !== Number(line['days_expected'])) {
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
    const isClosing = this.#pack.manifest.statement.kind === 'closing';
    for (const [metric, { stream }] of METRICS) {
      if (isClosing && period.streams.has(stream) && !period.lines.has(metric)) {
        this.#say('lines.csv', `${metric} from ${period.from} is missing, coverage.csv has cells of it`);
      }
      if (period.lines.has(metric) && !period.streams.has(stream)) {
        this.#say('coverage.csv', `no cell of ${stream} from ${period.from}, lines.csv has ${metric}`);
      }
    }
  }
}
