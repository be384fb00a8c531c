/** The cases that load: a day, compared with other ways to load it, a backfill, and nothing to do. */
import { count } from '../src/terminal/words.ts';
import { daysAgo } from '../test/support/days.ts';
import type { OwnPostgres } from '../test/support/own-postgres.ts';
import type { Task } from './contenders/day.ts';
import {
  addLogin,
  LAUNCHER,
  type Measured,
  type ProgramSettings,
  query,
  readCpuMs,
  runMeasured,
  runProgram,
  type SimulatorProcess,
  TEMPLATE,
  withDatabase,
  withSimulator,
} from './processes.ts';

/** A row of a table. Each name ends with its unit: `wallMs`, `peakRssBytes`, `wallToFloorRatio`. */
export type Row = Readonly<Record<string, string | number | undefined>>;

export interface Sizes {
  /** Organizations, by case. */
  readonly daily: readonly number[];
  readonly backfill: number;
  readonly idle: number;
  readonly views: number;
  readonly billing: number;
  /** Days of history. */
  readonly days: number;
  /** Delays of each response in `daily`, in ms. */
  readonly latencies: readonly number[];
  /** Runs of each contender or question, of which the median counts. */
  readonly rounds: number;
}

export interface Bench {
  readonly postgres: OwnPostgres;
  readonly sizes: Sizes;
  readonly settings: ProgramSettings;
  /** Prints a table and adds it to the file of figures. */
  readonly report: (title: string, rows: readonly Row[]) => void;
}

const START_FIGURES = ['wallMs', 'cpuMs', 'peakRssBytes'] as const;

/** The rounds of a command that takes a moment. */
const START_ROUNDS = 9;

/** Measures how long a command takes that does next to nothing. */
export async function start({ postgres, settings, report }: Bench): Promise<void> {
  await withDatabase(postgres, async (databaseUrl) => {
    const env = { DATABASE_URL: addLogin(['status'], databaseUrl) };
    const rows = [];
    for (const args of [
      ['run', '--help'],
      ['status', '--json'],
    ]) {
      const runs = [];
      for (let round = 0; round < START_ROUNDS; round += 1)
        runs.push(await runMeasured(LAUNCHER, args, { env, nodeFlags: settings.nodeFlags }));
      rows.push({ command: args.join(' '), ...medianOf(runs, START_FIGURES) });
    }
    report(`start: medians of ${START_ROUNDS}`, rows);
  });
}

const REQUESTS_PER_ORG = 6;

/** The longest time, in ms, that the obvious script may wait for responses. */
const SLOW_SCRIPT_MAX_MS = 120_000;

/**
 * Loads one day of every organization into an empty database, for each number of organizations without latency, and for
 * the first with each latency: with all contenders where the obvious script ends in time, otherwise with the fast ones.
 */
export async function daily(bench: Bench): Promise<void> {
  const { sizes, settings, report } = bench;
  for (const latencyMs of sizes.latencies) {
    for (const orgs of latencyMs === 0 ? sizes.daily : sizes.daily.slice(0, 1)) {
      const contenders = REQUESTS_PER_ORG * orgs * (latencyMs + 1) <= SLOW_SCRIPT_MAX_MS ? CONTENDERS : FAST;
      const rows = await withSimulator({ orgs, latencyMs }, (simulator) =>
        compare(bench, { simulator, contenders, latencyMs }),
      );
      const what = `${count(orgs, 'organization')}, ${latencyMs} ms, ${settings.concurrency} at once`;
      report(`daily: one day of ${what}, medians of ${sizes.rounds}`, rows);
    }
  }
}

type Run = Measured<{ readonly requests: number }>;

/** The contenders, with the schema of their tables and the template of their database. */
const CONTENDERS: Readonly<Record<string, { script: string | null; schema: string; template: string }>> = {
  'this program': { script: null, schema: 'losant_usage', template: TEMPLATE },
  floor: { script: 'floor.ts', schema: 'public', template: TEMPLATE },
  "expert's script": { script: 'expert.ts', schema: 'public', template: 'template1' },
  'obvious script': { script: 'obvious.ts', schema: 'public', template: 'template1' },
};

const { 'obvious script': _, ...FAST } = CONTENDERS;

interface Comparison {
  readonly simulator: SimulatorProcess;
  readonly contenders: typeof CONTENDERS;
  readonly latencyMs: number;
}

const FIGURES = ['wallMs', 'cpuMs', 'postgresCpuMs', 'peakRssBytes', 'requests'] as const;

type Figures = Readonly<Record<(typeof FIGURES)[number], number>>;

/**
 * Runs the contenders alternately, for a number of rounds, each time into an empty database. Throws if they have not
 * stored the same numbers.
 */
async function compare(bench: Bench, comparison: Comparison): Promise<Row[]> {
  const { contenders, latencyMs } = comparison;
  const { concurrency } = bench.settings;
  const figuresByContender = new Map(Object.keys(contenders).map((name) => [name, [] as Figures[]]));
  const storedNumbers = new Set<string>();
  // The first round does not count, because the simulator's code is compiled in it.
  for (let round = 0; round <= bench.sizes.rounds; round += 1) {
    for (const name of round === 0 ? ['floor'] : figuresByContender.keys()) {
      const { figures, numbers } = await measureContender(bench, name, comparison.simulator);
      if (round > 0) figuresByContender.get(name)?.push(figures);
      storedNumbers.add(numbers);
      if (storedNumbers.size > 1)
        throw new Error(`${name} stored different numbers: ${[...storedNumbers].join(' and ')}`);
    }
  }
  const medians = [...figuresByContender].map(([contender, all]) => ({
    contender,
    ...medianOf(all, FIGURES),
  }));
  const floor = medians.find(({ contender }) => contender === 'floor');
  const rows = medians.map((row) => ({
    ...row,
    cpuPerRequestUs: (row.cpuMs / row.requests) * 1_000,
    wallToFloorRatio: row.wallMs / (floor?.wallMs ?? Number.NaN),
    cpuToFloorRatio: row.cpuMs / (floor?.cpuMs ?? Number.NaN),
  }));
  // The waits alone: requests × latency ÷ concurrency.
  const waitsMs = ((floor?.requests ?? Number.NaN) * latencyMs) / concurrency;
  return latencyMs === 0 ? rows : [...rows, { contender: 'N·L/C', wallMs: waitsMs }];
}

async function measureContender(
  { postgres, settings }: Bench,
  name: string,
  simulator: SimulatorProcess,
): Promise<{ figures: Figures; numbers: string }> {
  const { script = null, schema, template } = CONTENDERS[name] ?? {};
  return await withDatabase(
    postgres,
    async (databaseUrl) => {
      const before = readCpuMs(postgres.pid);
      const task: Task = { ...simulator, day: daysAgo(1), databaseUrl, concurrency: settings.concurrency };
      const run: Run =
        script === null
          ? await runProgram(['run'], task, settings)
          : await runMeasured(`bench/contenders/${script}`, [JSON.stringify(task)]);
      const { wallMs, cpuMs, peakRssBytes, document } = run;
      const postgresCpuMs = readCpuMs(postgres.pid) - before;
      const figures = { wallMs, cpuMs, postgresCpuMs, peakRssBytes, requests: document.requests };
      // Enough of the stored numbers to show whether they are the same.
      const [row] = await query<{ numbers: string }>(
        databaseUrl,
        `select concat_ws(' ', d.*, s.*) as numbers
         from (select count(*), sum(devices_total), sum(notebook_minutes), sum(payload_billable_count),
           sum(payload_all_count), sum(payload_all_bytes), sum(payload_source_count) from ${schema}.usage_days) as d,
           (select count(*), sum(count) from ${schema}.payload_sources) as s`,
      );
      return { figures, numbers: row?.numbers ?? '' };
    },
    template,
  );
}

/** Returns the median of each figure; of an even number of runs, the lower of the two. */
export function medianOf<F extends string>(all: readonly Readonly<Record<F, number>>[], figures: readonly F[]) {
  const entries = figures.map((figure) => {
    const sorted = all.map((each) => each[figure]).toSorted((a, b) => a - b);
    return [figure, sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN];
  });
  return Object.fromEntries(entries) as Record<F, number>;
}

/** The days of a slice, for which three streams take five requests; the fourth takes one request per day. */
const SLICE_DAYS = 31;
const SLICE_REQUESTS = 5;

/** The organizations on a page of the list. */
const PER_PAGE = 100;

/** Measures a backfill: its requests compared with the formula, its pace, and the bytes of an organization's day. */
export async function backfill({ postgres, sizes, settings, report }: Bench): Promise<void> {
  const { backfill: orgs, days } = sizes;
  // Control totals take as many as one more organization; the list has one more request, for the instance.
  const perOrg = SLICE_REQUESTS * Math.ceil(days / SLICE_DAYS) + days;
  const formula = (orgs + 1) * perOrg + Math.ceil(orgs / PER_PAGE) + 1;
  await withSimulator({ orgs, latencyMs: 0 }, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const args = ['backfill', '--from', daysAgo(days), '--to', daysAgo(1)];
      const { document, ...figures } = await runProgram(args, { ...simulator, databaseUrl }, settings);
      const { requests, rows } = document;
      const pace = { rows: rows.inserted, rowsPerSecond: (rows.inserted / figures.wallMs) * 1_000 };
      report(`backfill: ${days} days of ${count(orgs, 'organization')}, 0 ms`, [
        { requests, formula, ...figures, ...pace },
      ]);
      const tables = await query<{ table: string; rows: string; bytes: string }>(
        databaseUrl,
        `select t.name as table, pg_total_relation_size('losant_usage.' || t.name) as bytes, t.rows
         from (select 'usage_days' as name, count(*) as rows from losant_usage.usage_days
           union all select 'coverage', count(*) from losant_usage.coverage) as t`,
      );
      const [sourceRow] = await query<{ sources: number }>(
        databaseUrl,
        'select count(*)::integer as sources from losant_usage.payload_sources',
      );
      const sizesOnDisk = tables.map((each) => ({
        table: each.table,
        sourcesPerOrgDayRatio: (sourceRow?.sources ?? 0) / (orgs * days),
        rowsPerOrgDayRatio: Number(each.rows) / (orgs * days),
        bytesPerOrgDay: Number(each.bytes) / (orgs * days),
      }));
      report('backfill: disk, with indexes', sizesOnDisk);
    }),
  );
}

const IDLE_FIGURES = ['wallMs', 'cpuMs', 'peakRssBytes'] as const;

/** Measures a run with nothing due. */
export async function idle({ postgres, sizes, settings, report }: Bench): Promise<void> {
  const { idle: orgs, days, rounds } = sizes;
  await withSimulator({ orgs, latencyMs: 0 }, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const target = { ...simulator, databaseUrl };
      await runProgram(['run'], target, settings);
      await addHistory(databaseUrl, days);
      const runs = [];
      for (let round = 0; round < rounds; round += 1) {
        const run = await runProgram(['run'], target, settings);
        if (run.document.cells.planned > 0) throw new Error(`something was due: ${JSON.stringify(run.document)}`);
        runs.push(run);
      }
      const title = `idle: nothing due, ${count(orgs, 'organization')} × ${days} days, medians of ${rounds}`;
      report(title, [medianOf(runs, IDLE_FIGURES)]);
    }),
  );
}

/** Gives every organization a history of `days` days, stored and final. */
async function addHistory(databaseUrl: string, days: number): Promise<void> {
  // Without triggers, which reject manual writes.
  await query(
    databaseUrl,
    `set session_replication_role = replica;
     insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision, last_read_at,
       last_attempt_at, response_sha256, run_id, first_loaded_at, finalized_at)
     select c.usage_date - shift, c.org_id, c.stream, 'final', true, true, 1, now(), now(), c.response_sha256, c.run_id,
       now(), now()
     from generate_series(1, ${days} - 1) as shift cross join losant_usage.coverage c
     order by 1, 2, 3;
     insert into losant_usage.usage_days (usage_date, org_id, standing, is_waiting, is_stored)
     select u.usage_date - shift, u.org_id, 'final', false, true
     from generate_series(1, ${days} - 1) as shift cross join losant_usage.usage_days u
     order by 1, 2;
     update losant_usage.tracks set first_day = first_day - (${days} - 1)`,
  );
  await query(databaseUrl, 'vacuum analyze');
}
