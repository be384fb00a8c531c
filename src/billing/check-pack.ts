/** Checks a proof pack against itself: that every number follows from the days, and every day from its cells. */
import { type DayRange, daysFrom } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { isSettled, type Standing, worstStanding } from '../usage/standing.ts';
import { BrokenFileError, METRICS, type PackRow, RowsByOrganization, readPackFile } from './pack-files.ts';
import type { Pack, PackProblem } from './verify.ts';

/** What the preceding statements of a month say by line, and by source; empty before the closing. */
export interface Billed {
  /** Totals by organization, period and metric. */
  readonly lines: Map<string, string | null>;
  readonly sources: Map<string, string>;
}

/** The most problems reported for one pack; the rest would be more of the same. */
export const PROBLEMS_MAX = 100;

/** The files behind `lines.csv`, ordered by organization. */
const BEHIND = ['sources.csv', 'days.csv', 'coverage.csv', 'revisions.csv', 'waivers.csv'] as const;
type BehindName = (typeof BEHIND)[number];

type Report = (file: string, problem: string) => void;

/**
 * Checks every sum and count of a pack, organization by organization, so that memory stays flat.
 * `billed` is updated with what the pack says. It is null if the preceding statements are not there,
 * so that an adjustment's differences cannot be checked.
 */
export async function checkPack(pack: Pack, billed: Billed | null): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  const report: Report = (file, problem) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file: pack.fileOf(file), problem });
  };
  try {
    const blocked = await checkBlockers(pack, report);
    await checkOrganizations(pack, { billed, blocked, report });
  } catch (error) {
    if (!(error instanceof BrokenFileError)) throw error;
    report(error.file, error.message);
  }
  return problems;
}

async function readAll(pack: Pack, name: string): Promise<PackRow[]> {
  const rows: PackRow[] = [];
  for await (const page of readPackFile(pack, name)) rows.push(...page);
  return rows;
}

/** Returns the organizations that were accepted as blocked; null stands for all of them. */
async function checkBlockers(pack: Pack, report: Report): Promise<Set<string | null>> {
  const blocked = new Set<string | null>();
  let rows = 0;
  for (const { position, org_id, first_day, last_day } of await readAll(pack, 'blockers.csv')) {
    rows += 1;
    if (position !== `${rows}`)
      report('blockers.csv', `line ${rows + 1}: position ${position} is not ${rows}`);
    if ((first_day ?? '') > (last_day ?? ''))
      report('blockers.csv', `line ${rows + 1}: its days are reversed`);
    blocked.add(org_id ?? null);
  }
  const { reason } = pack.manifest.statement;
  if (reason === null && rows > 0) report('blockers.csv', 'it has blockers, and the manifest no reason');
  if (reason !== null && rows === 0) report('blockers.csv', 'it has no blocker, and the manifest a reason');
  return blocked;
}

interface Checking {
  readonly billed: Billed | null;
  readonly blocked: ReadonlySet<string | null>;
  readonly report: Report;
}

async function checkOrganizations(pack: Pack, checking: Checking): Promise<void> {
  const { manifest } = pack;
  const lines = new RowsByOrganization(readPackFile(pack, 'lines.csv'));
  const behind = new Map(BEHIND.map((name) => [name, new RowsByOrganization(readPackFile(pack, name))]));
  const totals = new Totals();
  for (let orgId = await lines.peek(); orgId !== null; orgId = await lines.peek()) {
    for (const [name, rows] of behind) await reportStrays(name, rows, orgId, checking.report);
    const taken = await lines.take(orgId);
    totals.add(taken);
    const files = new Map<string, PackRow[]>();
    for (const [name, rows] of behind) files.set(name, await rows.take(orgId));
    new Organization(pack, { orgId, lines: taken, files, checking }).check();
  }
  for (const [name, rows] of behind) await reportStrays(name, rows, null, checking.report);
  totals.compare(manifest.totals, checking.report);
  if (totals.orgs !== manifest.statement.orgs) {
    checking.report('manifest.json', `orgs is ${manifest.statement.orgs}, lines.csv has ${totals.orgs}`);
  }
}

/** Reports the rows of organizations that have no line, up to the next one that has. */
async function reportStrays(
  name: string,
  rows: RowsByOrganization,
  until: string | null,
  report: Report,
): Promise<void> {
  for (
    let next = await rows.peek();
    next !== null && (until === null || next < until);
    next = await rows.peek()
  ) {
    await rows.take(next);
    report(name, `organization ${next} has no line in lines.csv`);
  }
}

/** The sums over all organizations. */
class Totals {
  readonly #metrics = new Map<string, { orgs: number; quantity: bigint | null }>();
  orgs = 0;

  add(lines: readonly PackRow[]): void {
    this.orgs += 1;
    const quantities = Map.groupBy(lines, ({ metric }) => metric as string);
    for (const [metric, each] of quantities) {
      const known = this.#metrics.get(metric) ?? { orgs: 0, quantity: null };
      known.orgs += 1;
      for (const { quantity } of each) {
        if (quantity != null) known.quantity = (known.quantity ?? 0n) + BigInt(quantity);
      }
      this.#metrics.set(metric, known);
    }
  }

  compare(said: Pack['manifest']['totals'], report: Report): void {
    const expected = [...METRICS].flatMap(([metric, { unit, kind }]) => {
      const sum = this.#metrics.get(metric);
      if (sum === undefined) return [];
      return [
        { metric, unit, kind, orgs: sum.orgs, quantity: sum.quantity === null ? null : `${sum.quantity}` },
      ];
    });
    for (const [index, total] of expected.entries()) {
      const found = said[index];
      if (JSON.stringify(found) === JSON.stringify(total)) continue;
      const { metric, quantity, orgs } = total;
      report(
        'manifest.json',
        `totals: ${metric} of lines.csv is ${show(quantity)} of ${orgs} organizations; the manifest has ${show(found?.quantity)} of ${found?.orgs ?? 0} for ${found?.metric ?? 'nothing'}`,
      );
      return;
    }
    if (said.length > expected.length) {
      report('manifest.json', `totals: ${said[expected.length]?.metric} has no line in lines.csv`);
    }
  }
}

/** The cells of a stream in a period, counted. */
interface StreamDays {
  readonly standings: Partial<Record<Standing, number>>;
  expected: number;
  stored: number;
  unreported: number;
  byHand: number;
}

/** The numbers of a metric over the days of a period. */
interface Sum {
  sum: bigint;
  last: bigint;
  max: bigint;
  days: bigint;
}

interface Period extends DayRange {
  readonly lines: Map<string, PackRow>;
  readonly streams: Map<string, StreamDays>;
  readonly sums: Map<string, Sum>;
  readonly sources: PackRow[];
  watermark: number;
  isSettled: boolean;
}

/** One organization of a pack. */
class Organization {
  readonly #pack: Pack;
  readonly #orgId: string;
  readonly #files: ReadonlyMap<string, readonly PackRow[]>;
  readonly #billed: Billed | null;
  readonly #blocked: ReadonlySet<string | null>;
  readonly #report: Report;
  readonly #periods = new Map<string, Period>();
  readonly #cells = new Map<string, PackRow[]>();

  constructor(
    pack: Pack,
    {
      orgId,
      lines,
      files,
      checking,
    }: {
      readonly orgId: string;
      readonly lines: readonly PackRow[];
      /** The rows of the files behind the lines, by name. */
      readonly files: ReadonlyMap<string, readonly PackRow[]>;
      readonly checking: Checking;
    },
  ) {
    this.#pack = pack;
    this.#orgId = orgId;
    this.#files = files;
    this.#billed = checking.billed;
    this.#blocked = checking.blocked;
    this.#report = checking.report;
    for (const line of lines) this.#place(line);
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
    if (isOpen && !this.#blocked.has(this.#orgId)) {
      this.#say('blockers.csv', 'not every cell is final or accepted, and no blocker was accepted');
    }
  }

  #rowsOf(name: BehindName): readonly PackRow[] {
    return this.#files.get(name) ?? [];
  }

  #say(file: string, problem: string): void {
    this.#report(file, `organization ${this.#orgId}: ${problem}`);
  }

  /** Assigns a line to its period; every line of one names the same end and the same customer. */
  #place(line: PackRow): void {
    const start = line['period_start'] as string;
    const known = this.#periods.get(start);
    const metric = METRICS.get(line['metric'] ?? '');
    if (metric === undefined || metric.unit !== line['unit'] || metric.kind !== line['kind']) {
      this.#say(
        'lines.csv',
        `${line['metric']} from ${start}: there is no such metric in ${line['unit']}, ${line['kind']}`,
      );
    }
    if (known === undefined) {
      this.#periods.set(start, {
        ...{
          from: start,
          to: line['period_end'] as string,
          lines: new Map([[line['metric'] as string, line]]),
        },
        ...{ streams: new Map(), sums: new Map(), sources: [], watermark: 0, isSettled: true },
      });
      return;
    }
    const [first] = known.lines.values();
    for (const column of ['period_end', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'is_billable']) {
      if (line[column] === first?.[column]) continue;
      this.#say('lines.csv', `${line['metric']} from ${start}: ${column} is not that of the other lines`);
    }
    known.lines.set(line['metric'] as string, line);
  }

  #checkPeriods(): void {
    const { month, periods } = this.#pack.manifest.statement;
    const bounds = daysOfMonth(month);
    let before: Period | null = null;
    for (const period of this.#periods.values()) {
      const isInside = period.from <= period.to && period.to <= bounds.to;
      if (!isInside || (periods === 'calendar' && period.from < bounds.from)) {
        this.#say('lines.csv', `the period ${period.from}..${period.to} is not one of ${month}`);
      }
      if (before !== null && before.to >= period.from) {
        this.#say('lines.csv', `the periods from ${before.from} and from ${period.from} have days in common`);
      }
      before = period;
    }
  }

  #periodOf(day: string): Period | undefined {
    for (const period of this.#periods.values()) if (day >= period.from && day <= period.to) return period;
    return undefined;
  }

  #countCells(): void {
    for (const cell of this.#rowsOf('coverage.csv')) {
      const day = cell['usage_date'] as string;
      const period = this.#periodOf(day);
      if (period === undefined) {
        this.#say('coverage.csv', `${day} lies in no period of lines.csv`);
        continue;
      }
      const stream = cell['stream'] as string;
      const standing = cell['standing'] as Standing;
      const isStored = cell['is_stored'] === 'true';
      const known: StreamDays = period.streams.get(stream) ?? {
        ...{ standings: {}, expected: 0, stored: 0, unreported: 0, byHand: 0 },
      };
      period.streams.set(stream, known);
      known.expected += 1;
      known.standings[standing] = (known.standings[standing] ?? 0) + 1;
      if (isStored) known.stored += 1;
      if (isStored && cell['is_reported'] === 'false') known.unreported += 1;
      if (isStored && cell['verified_at'] === null) known.byHand += 1;
      if (!isSettled(standing)) period.isSettled = false;
      const isAlways: Partial<Record<Standing, boolean>> = {
        ...{ final: true, stored: true, in_doubt: true, missing: false, waiting: false, unavailable: false },
      };
      if (isStored !== (isAlways[standing] ?? isStored)) {
        this.#say('coverage.csv', `${day} ${stream}: ${standing}, and is_stored is ${cell['is_stored']}`);
      }
      this.#cells.set(day, [...(this.#cells.get(day) ?? []), cell]);
    }
  }

  #sumDays(): void {
    const seen = new Set<string>();
    for (const day of this.#rowsOf('days.csv')) {
      const date = day['usage_date'] as string;
      seen.add(date);
      const period = this.#periodOf(date);
      if (period === undefined || period.from !== day['period_start']) {
        this.#say('days.csv', `${date} does not lie in the period from ${day['period_start']} of lines.csv`);
        continue;
      }
      this.#checkDay(date, day);
      for (const metric of METRICS.keys()) addNumber(period.sums, metric, day[metric] ?? null);
    }
    for (const date of this.#cells.keys()) {
      if (!seen.has(date)) this.#say('days.csv', `${date} is missing, coverage.csv has cells of it`);
    }
  }

  /** A day is what its cells are: as many, as good, and with the numbers of those that are stored. */
  #checkDay(date: string, day: PackRow): void {
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
      this.#say('days.csv', `${date}: ${column} is ${show(day[column])}, by coverage.csv ${show(value)}`);
    }
    const streams = new Set(stored.map(({ stream }) => stream));
    for (const [metric, { stream }] of METRICS) {
      if ((day[metric] !== null) === streams.has(stream)) continue;
      const is = day[metric] === null ? 'missing' : day[metric];
      this.#say(
        'days.csv',
        `${date}: ${metric} is ${is}, coverage.csv says ${streams.has(stream) ? 'stored' : 'not stored'}`,
      );
    }
  }

  #placeSources(): void {
    for (const row of this.#rowsOf('sources.csv')) {
      const period = this.#periods.get(row['period_start'] as string);
      if (period?.lines.has('payload_source_count')) period.sources.push(row);
      else
        this.#say(
          'sources.csv',
          `the period from ${row['period_start']} has no line of payload_source_count`,
        );
    }
  }

  /** The sources of a closing come to its line; those of an adjustment are what changed of them. */
  #checkSources(period: Period): void {
    const line = period.lines.get('payload_source_count');
    if (line === undefined) return;
    const sum = (column: string) => period.sources.reduce((all, row) => all + BigInt(row[column] ?? 0), 0n);
    const name = `the sources from ${period.from}`;
    const isClosing = this.#pack.manifest.statement.kind === 'closing';
    if (line['quantity'] !== null && sum('quantity') !== BigInt(line['quantity'] ?? 0)) {
      this.#say('sources.csv', `${name} come to ${sum('quantity')}, lines.csv has ${line['quantity']}`);
    }
    if (isClosing && sum('total') !== BigInt(line['total'] ?? 0)) {
      this.#say(
        'sources.csv',
        `${name} come to a total of ${sum('total')}, lines.csv has ${show(line['total'])}`,
      );
    }
    for (const row of period.sources) {
      const { payload_type, source, quantity = null, total = null } = row;
      const key = JSON.stringify([this.#orgId, period.from, payload_type, source]);
      const before = isClosing ? '0' : (this.#billed?.sources.get(key) ?? '0');
      if (
        (isClosing || this.#billed !== null) &&
        BigInt(quantity ?? 0) !== BigInt(total ?? 0) - BigInt(before)
      ) {
        this.#say(
          'sources.csv',
          `${payload_type} ${source} from ${period.from}: the quantity is ${quantity}, not ${BigInt(total ?? 0) - BigInt(before)}`,
        );
      }
      this.#billed?.sources.set(key, total ?? '0');
    }
  }

  /** Each change on record is older than the moment; the newest of a cell is the number of its day. */
  #checkRevisions(): void {
    const { closedAt } = this.#pack.manifest.statement;
    const newest = new Map<string, PackRow>();
    for (const row of this.#rowsOf('revisions.csv')) {
      const date = row['usage_date'] as string;
      const period = this.#periodOf(date);
      if (period === undefined) this.#say('revisions.csv', `${date} lies in no period of lines.csv`);
      else period.watermark = Math.max(period.watermark, Number(row['id']));
      if ((row['changed_at'] ?? '') > closedAt) {
        this.#say(
          'revisions.csv',
          `${date} ${row['stream']}: revision ${row['id']} is newer than the statement`,
        );
      }
      if (row['key'] === '{}') newest.set(`${date} ${row['stream']}`, row);
    }
    const days = new Map(this.#rowsOf('days.csv').map((day) => [day['usage_date'], day]));
    for (const [name, row] of newest) {
      const cell = this.#cells
        .get(row['usage_date'] as string)
        ?.find(({ stream }) => stream === row['stream']);
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
    const values = parseNumbers(row['new'] ?? null);
    if (values === null) {
      this.#say('revisions.csv', `${name}: new is not a map of numbers`);
      return;
    }
    const metrics = [...METRICS].filter(([, { stream }]) => stream === row['stream']);
    const numbers = metrics.flatMap(([metric]) => day?.[metric] ?? []).toSorted();
    if (JSON.stringify(values.toSorted()) === JSON.stringify(numbers)) return;
    this.#say(
      'revisions.csv',
      `${name}: the newest revision has ${values.join(', ')}, days.csv ${numbers.join(', ')}`,
    );
  }

  /** A cell is accepted if and only if a waiver of it holds. */
  #checkWaivers(): void {
    const { closedAt } = this.#pack.manifest.statement;
    const waived = new Set<string>();
    for (const row of this.#rowsOf('waivers.csv')) {
      const name = `${row['usage_date']} ${row['stream']}`;
      const cell = this.#cells
        .get(row['usage_date'] as string)
        ?.find(({ stream }) => stream === row['stream']);
      if ((row['waived_at'] ?? '') > closedAt)
        this.#say('waivers.csv', `${name}: it is newer than the statement`);
      if (row['lifted_at'] !== null) continue;
      waived.add(name);
      if (cell !== undefined && cell['standing'] !== 'accepted') {
        this.#say('waivers.csv', `${name}: it is accepted, coverage.csv says ${cell['standing']}`);
      }
    }
    for (const cell of [...this.#cells.values()].flat()) {
      const name = `${cell['usage_date']} ${cell['stream']}`;
      if (cell['standing'] === 'accepted' && !waived.has(name)) {
        this.#say('waivers.csv', `${name}: coverage.csv says accepted, and no waiver holds`);
      }
    }
  }

  #checkLine(line: PackRow, period: Period): void {
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
      this.#say('lines.csv', `${name}: ${column} is ${show(line[column])}, ${what} ${show(value)}`);
    }
    if (line['is_billable'] === 'true' && !period.isSettled) {
      this.#say(
        'lines.csv',
        `${name}: is_billable is true, coverage.csv has cells that are neither final nor accepted`,
      );
    }
    if (line['is_billable'] === 'false' && this.#blocked.size === 0) {
      this.#say('lines.csv', `${name}: is_billable is false, and blockers.csv has no blocker`);
    }
    this.#checkQuantity(line, name);
  }

  #checkQuantity(line: PackRow, name: string): void {
    const { kind } = this.#pack.manifest.statement;
    const key = `${this.#orgId} ${line['period_start']} ${line['metric']}`;
    const before = this.#billed?.lines.get(key);
    this.#billed?.lines.set(key, line['total'] ?? null);
    if (kind === 'adjustment' && this.#billed === null) return;
    const expected = kind === 'closing' ? line['total'] : difference(line['total'] ?? null, before ?? null);
    if (line['quantity'] !== expected) {
      this.#say('lines.csv', `${name}: the quantity is ${show(line['quantity'])}, not ${show(expected)}`);
    }
    if (
      kind === 'adjustment' &&
      Number(line['days_final']) + Number(line['days_accepted']) !== Number(line['days_expected'])
    ) {
      this.#say('lines.csv', `${name}: it is adjusted, and not every day is final or accepted`);
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

function addNumber(sums: Map<string, Sum>, metric: string, text: string | null): void {
  if (text === null) return;
  const number = BigInt(text);
  const known = sums.get(metric) ?? { sum: 0n, last: number, max: number, days: 0n };
  known.sum += number;
  // Days come in order, so the last one read is the newest.
  known.last = number;
  if (number > known.max) known.max = number;
  known.days += 1n;
  sums.set(metric, known);
}

/** Returns the numbers of a revision as text; null if it has something else. */
function parseNumbers(text: string | null): string[] | null {
  if (text === null) return [];
  return /^\{("\w+": \d+(, |(?=\})))*\}$/.test(text) ? (text.match(/(?<=: )\d+/g) ?? []) : null;
}

/** Returns the average rounded to hundredths as Postgres does. */
function averageOf({ sum, days }: Sum): string {
  const hundredths = (sum * 200n + days) / (days * 2n);
  return `${hundredths / 100n}.${`${hundredths % 100n}`.padStart(2, '0')}`;
}

/** Returns what an adjustment bills: a number that was not stored before is billed as a whole. */
function difference(now: string | null, before: string | null): string | null {
  if (now === null) return before === null ? null : `${-BigInt(before)}`;
  return before === null ? now : `${BigInt(now) - BigInt(before)}`;
}

function show(text: string | null | undefined): string {
  return text ?? 'not stored';
}
