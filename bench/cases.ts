/** The cases that export: a day beside other ways to do it, a backfill, and nothing to do. */
import { daysAgo } from '../test/support/days.ts';
import type { OwnPostgres } from '../test/support/own-postgres.ts';
import type { Task } from './contenders/day.ts';
import {
  type Measured,
  type ProgramSettings,
  query,
  readCpuMs,
  runExport,
  runMeasured,
  type SimulatorProcess,
  TEMPLATE,
  withDatabase,
  withSimulator,
} from './processes.ts';

/** A row of a table. The end of each name is its unit: `wallMs`, `peakRssBytes`, `wallToFloorRatio`. */
export type Row = Readonly<Record<string, string | number | undefined>>;

/** How much is measured. */
export interface Sizes {
  /** Organizations, by case. */
  readonly daily: readonly number[];
  readonly backfill: number;
  readonly idle: number;
  readonly views: number;
  readonly billing: number;
  /** Days of history. */
  readonly days: number;
  /** Delays of each answer in `daily`, in ms. */
  readonly latencies: readonly number[];
  /** Runs of each contender or question; the medians count. */
  readonly rounds: number;
}

export interface Bench {
  readonly postgres: OwnPostgres;
  readonly sizes: Sizes;
  readonly settings: ProgramSettings;
  /** Prints a table and keeps it. */
  readonly report: (title: string, rows: readonly Row[]) => void;
}

const REQUESTS_PER_ORG = 6;

/** The longest time, in ms, for which the obvious script may wait for answers. */
const SLOW_MS = 120_000;

/**
 * Exports one day of every organization into an empty database, for each number of organizations and latency: beside all
 * contenders where the obvious script ends in time, else beside the fast ones.
 */
export async function daily(bench: Bench): Promise<void> {
  const { sizes, settings, report } = bench;
  for (const latencyMs of sizes.latencies) {
    for (const orgs of sizes.daily) {
      const contenders = REQUESTS_PER_ORG * orgs * (latencyMs + 1) <= SLOW_MS ? CONTENDERS : FAST;
      const rows = await withSimulator({ orgs, latencyMs }, (simulator) =>
        compare(bench, { simulator, contenders, latencyMs }),
      );
      const what = `${orgs} organizations, ${latencyMs} ms, ${settings.concurrency} at once`;
      report(`daily: one day of ${what}, medians of ${sizes.rounds}`, rows);
    }
  }
}

type Run = Measured<{ readonly requests: number }>;

/** The contenders, each with the schema of its tables and the template of its database. */
const CONTENDERS: Readonly<Record<string, { script: string | null; schema: string; template: string }>> = {
  'this program': { script: null, schema: 'losant_usage', template: TEMPLATE },
  floor: { script: 'floor.ts', schema: 'public', template: TEMPLATE },
  'expert’s script': { script: 'expert.ts', schema: 'public', template: 'template1' },
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
 * Runs each contender in turn, for a number of rounds, each time into an empty database. Throws if two
 * of them have not stored the same numbers.
 */
async function compare(bench: Bench, comparison: Comparison): Promise<Row[]> {
  const { contenders, latencyMs } = comparison;
  const { concurrency } = bench.settings;
  const measured = new Map(Object.keys(contenders).map((name) => [name, [] as Figures[]]));
  const stored = new Set<string>();
  // The first round does not count: the simulator's code is compiled in it.
  for (let round = 0; round <= bench.sizes.rounds; round += 1) {
    for (const name of round === 0 ? ['floor'] : measured.keys()) {
      const { figures, numbers } = await measureOne(bench, name, comparison.simulator);
      if (round > 0) measured.get(name)?.push(figures);
      stored.add(numbers);
      if (stored.size > 1) throw new Error(`${name} stored other numbers: ${[...stored].join(' and ')}`);
    }
  }
  const medians = [...measured].map(([contender, all]) => ({ contender, ...medianOf(all, FIGURES) }));
  const floor = medians.find(({ contender }) => contender === 'floor');
  const rows = medians.map((row) => ({
    ...row,
    cpuPerRequestUs: (row.cpuMs / row.requests) * 1_000,
    wallToFloorRatio: row.wallMs / (floor?.wallMs ?? Number.NaN),
    cpuToFloorRatio: row.cpuMs / (floor?.cpuMs ?? Number.NaN),
  }));
  // What the waits alone take: requests × latency ÷ concurrency.
  const waitsMs = ((floor?.requests ?? Number.NaN) * latencyMs) / concurrency;
  return latencyMs === 0 ? rows : [...rows, { contender: 'N·L/C', wallMs: waitsMs }];
}

async function measureOne(
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
          ? await runExport(['run'], task, settings)
          : await runMeasured(`bench/contenders/${script}`, [JSON.stringify(task)]);
      const { wallMs, cpuMs, peakRssBytes, document } = run;
      const postgresCpuMs = readCpuMs(postgres.pid) - before;
      const figures = { wallMs, cpuMs, postgresCpuMs, peakRssBytes, requests: document.requests };
      // Enough of the stored numbers to show that they are the same.
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

/** Returns the median of each figure; of an even number, the lower of the two. */
function medianOf<F extends string>(all: readonly Readonly<Record<F, number>>[], figures: readonly F[]) {
  const entries = figures.map((figure) => {
    const sorted = all.map((each) => each[figure]).toSorted((a, b) => a - b);
    return [figure, sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN];
  });
  return Object.fromEntries(entries) as Record<F, number>;
}

/** The days of a window that three streams read by five requests; the fourth takes a request a day. */
const WINDOW_DAYS = 31;
const WINDOW_REQUESTS = 5;
const WEEK_DAYS = 7;

/** The organizations on a page of the list. */
const PER_PAGE = 100;

/** Measures a backfill: its requests against the formula, its pace, and the bytes of an organization's day. */
export async function backfill({ postgres, sizes, settings, report }: Bench): Promise<void> {
  const { backfill: orgs, days } = sizes;
  const requestsOf = (windows: number) => WINDOW_REQUESTS * windows + days;
  // The last week is read first, by itself; control totals are not. One request is for the instance, beside the list.
  const perOrg = requestsOf(1 + Math.ceil((days - WEEK_DAYS) / WINDOW_DAYS));
  const totals = requestsOf(Math.ceil(days / WINDOW_DAYS));
  const formula = orgs * perOrg + totals + Math.ceil(orgs / PER_PAGE) + 1;
  await withSimulator({ orgs, latencyMs: 0 }, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const args = ['backfill', '--from', daysAgo(days), '--to', daysAgo(1)];
      const { document, ...used } = await runExport(args, { ...simulator, databaseUrl }, settings);
      const { requests, rows } = document;
      const pace = { rows: rows.inserted, rowsPerSecond: (rows.inserted / used.wallMs) * 1_000 };
      report(`backfill: ${days} days of ${orgs} organizations, 0 ms`, [
        { requests, formula, ...used, ...pace },
      ]);
      const tables = await query<{ table: string; rows: string; bytes: string }>(
        databaseUrl,
        `select t.name as table, pg_total_relation_size('losant_usage.' || t.name) as bytes, t.rows
         from (select 'usage_days' as name, count(*) as rows from losant_usage.usage_days
           union all select 'coverage', count(*) from losant_usage.coverage) as t`,
      );
      const [counted] = await query<{ sources: number }>(
        databaseUrl,
        'select count(*)::integer as sources from losant_usage.payload_sources',
      );
      const grown = tables.map((each) => ({
        table: each.table,
        sourcesPerOrgDayRatio: (counted?.sources ?? 0) / (orgs * days),
        rowsPerOrgDayRatio: Number(each.rows) / (orgs * days),
        bytesPerOrgDay: Number(each.bytes) / (orgs * days),
      }));
      report('backfill: disk, with indexes', grown);
    }),
  );
}

const USED = ['wallMs', 'cpuMs', 'peakRssBytes'] as const;

/** Measures a run with nothing due. */
export async function idle({ postgres, sizes, settings, report }: Bench): Promise<void> {
  const { idle: orgs, days, rounds } = sizes;
  await withSimulator({ orgs, latencyMs: 0 }, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const target = { ...simulator, databaseUrl };
      await runExport(['run'], target, settings);
      await addHistory(databaseUrl, days);
      const runs = [];
      for (let round = 0; round < rounds; round += 1) {
        const run = await runExport(['run'], target, settings);
        if (run.document.cells.planned > 0)
          throw new Error(`there was something to do: ${JSON.stringify(run.document)}`);
        runs.push(run);
      }
      const title = `idle: nothing due, ${orgs} organizations × ${days} days, medians of ${rounds}`;
      report(title, [medianOf(runs, USED)]);
    }),
  );
}

/** Gives every organization that was exported once a history of `days` days, stored and final. */
async function addHistory(databaseUrl: string, days: number): Promise<void> {
  // Without triggers: the ledger refuses what the program has not written.
  await query(
    databaseUrl,
    `set session_replication_role = replica;
     insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision, last_read_at,
       last_attempt_at, response_sha256, run_id, first_loaded_at, finalized_at)
     select c.usage_date - back, c.org_id, c.stream, 'final', true, true, 1, now(), now(), c.response_sha256, c.run_id,
       now(), now()
     from generate_series(1, ${days} - 1) as back cross join losant_usage.coverage c
     order by 1, 2, 3;
     insert into losant_usage.usage_days (usage_date, org_id, standing, is_waiting, is_stored)
     select u.usage_date - back, u.org_id, 'final', false, true from generate_series(1, ${days} - 1) as back cross join losant_usage.usage_days u
     order by 1, 2;
     update losant_usage.tracks set first_day = first_day - (${days} - 1)`,
  );
  await query(databaseUrl, 'vacuum analyze');
}
