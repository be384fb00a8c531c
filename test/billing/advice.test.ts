/** The remedy of each blocker, followed literally until the blocker is gone, whether Losant repairs its cause or not. */
import { afterAll, expect, test } from 'vitest';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { asProgram } from '../support/by-hand.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { asWriter } from '../support/databases.ts';
import { freePort } from '../support/ports.ts';
import type { Env } from '../support/program.ts';

const WITHOUT_SOURCES: Env = { STREAMS: 'device_counts,notebook_minutes,payload_totals' };

interface Played extends TimedInstallation {
  readonly first: string;
  readonly second: string;
  /** Runs the program, which must not reject its arguments. */
  readonly act: (command: string, env?: Env) => Promise<string>;
  readonly causes: (month?: string) => Promise<string[]>;
  readonly stateOf: (month?: string) => Promise<string>;
  readonly countStatements: (month: string) => Promise<number>;
}

interface October {
  /** A database in which October was played, to copy. */
  readonly database: ClockDatabase;
  /** The port of the platform, because a database keeps the address that it was loaded from. */
  readonly port: number;
}

/** By settings. */
const octobers = new Map<string, October>();
afterAll(async () => {
  for (const { database } of octobers.values()) await database.drop();
});

async function readState({ query }: Pick<TimedInstallation, 'query'>, month = '2026-10'): Promise<string> {
  const [row] = await query(`select state from losant_usage.months where month = '${month}-01'`);
  return String(row?.['state']);
}

/** Plays two organizations whose October is loaded, and becomes final on the 5th of November. */
async function playOctober(env: Env): Promise<Played> {
  const october = octobers.get(JSON.stringify(env));
  const port = october?.port ?? (await freePort());
  const options = { orgs: 2, port };
  const installation = await createTimedInstallation('2026-11-01T10:30:00Z', options, october?.database);
  const { run, query, orgIds, moveTo } = installation;
  const [first = '', second = ''] = orgIds;
  const act = async (command: string, changes: Env = {}) => {
    const { stdout, stderr, code } = await run(command.split(' '), changes);
    expect([command, code, code === 2 || code === 1 ? stderr : '']).toEqual([command, expect.any(Number), '']);
    return stdout;
  };
  if (october === undefined) {
    await act('backfill --from 2026-10-01 --to 2026-10-31', env);
    await moveTo('2026-11-05T10:30:00Z');
    await act('run', env);
    expect(await readState(installation)).toBe('ready');
    const database = await createClockDatabase(installation.database);
    octobers.set(JSON.stringify(env), { database, port });
  }
  await moveTo('2026-11-05T11:30:00Z');
  const causes = async (month = '2026-10') => {
    const rows = await query(
      `select distinct cause from losant_usage.month_blockers where month = '${month}-01' order by 1`,
    );
    return rows.map(({ cause }) => String(cause));
  };
  const stateOf = (month?: string) => readState(installation, month);
  const countStatements = async (month: string) =>
    (await query(`select from losant_usage.statements where month = '${month}-01'`)).length;
  return { ...installation, first, second, act, causes, stateOf, countStatements };
}

/** Runs a printed command, with a reason in place of its placeholder; then the command that accepts, if it prints one. */
async function execute(act: Played['act'], command: string, env: Env): Promise<void> {
  const [program, ...args] = command.split(' ');
  expect([command, program]).toEqual([command, 'losant-usage']);
  const stdout = await act(args.map((arg) => (arg === 'TEXT' ? 'agreed' : arg)).join(' '), env);
  const acceptance = /^ *losant-usage (close .*--accept-blockers .*)$/m.exec(stdout)?.[1];
  if (args.includes('--dry-run')) await act(`${acceptance}`.replace('TEXT', 'agreed'), env);
}

/**
 * Follows what `close --dry-run` prints, line by line, until nothing blocks the month or it is closed. Returns the last
 * line.
 */
async function follow(played: Played, month: string, env: Env): Promise<string> {
  const { act, moveTo, stateOf, causes, countStatements } = played;
  const statements = await countStatements(month);
  for (let round = 1; round <= 5; round += 1) {
    const preview = await act(`close --month ${month}${statements > 0 ? ' --adjust' : ''} --dry-run`);
    const [, remedies = ''] = /^To resolve:\n(.*?)\n\n/ms.exec(preview) ?? [];
    for (const line of remedies.split('\n').map((each) => each.trim())) {
      const due = /(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC; then:$/.exec(line);
      if (due) await moveTo(`${due[1]}T${due[2]}:30Z`);
      if (!line.startsWith('losant-usage ')) continue;
      await execute(act, line, env);
      if ((await causes(month)).length === 0) return line;
      if ((await countStatements(month)) > statements && (await stateOf(month)) === 'closed') return line;
    }
  }
  throw new Error(`still blocked by ${(await causes(month)).join(', ')}`);
}

interface Situation {
  readonly cause: string;
  /** `blocked` if unset. */
  readonly state?: string;
  /** What the last command that was needed begins with. */
  readonly resolvedBy: string;
  readonly month?: string;
  /** The settings with which October was loaded. */
  readonly env?: Env;
  readonly make: (played: Played) => Promise<void>;
}

const omit = async (
  { platform }: Played,
  { orgId = NEW_ORG, day = '2026-10-25', action = 'deviceCounts', isOmitted = true } = {},
) => await platform.control('omit', { orgId, day, action, omit: isOmitted });

const NEW_ORG = 'a'.repeat(24);

/** Adds an organization and loads its days; what is omitted of it was omitted from the first read on. */
async function addOrg({ platform, act }: Played, omitDay: () => Promise<unknown>): Promise<void> {
  await platform.control('orgs', { id: NEW_ORG, creationDate: '2026-10-20T08:00:00Z', size: 0.5 });
  await omitDay();
  await act('run');
  await act('backfill --from 2026-10-20 --to 2026-10-31');
}

/** Loses the numbers of a day that is stored. */
async function loseDay(played: Played): Promise<void> {
  await omit(played, { orgId: played.second, day: '2026-10-12' });
  await played.act(`backfill --from 2026-10-12 --to 2026-10-12 --org ${played.second} --force`);
}

/** Makes Losant's total of a day differ from the sum, which is read again because a number of it changes. */
async function differ({ platform, act, first }: Played): Promise<void> {
  const day = '2026-10-14';
  await platform.control('config', { bias: [{ counter: 'device_counts', day, by: 1 }] });
  await platform.control('restate', { orgId: first, day });
  await act(`backfill --from ${day} --to ${day} --force`);
}

/** Tracks a stream from the 4th of November on, and loads November. */
async function beginLater({ act, moveTo }: Played): Promise<void> {
  await act('run');
  await moveTo('2026-12-05T10:30:00Z');
  await act('run');
}

const SITUATIONS: Readonly<Record<string, Situation>> = {
  'days that were not tracked': {
    cause: 'not_fully_tracked',
    resolvedBy: 'losant-usage backfill',
    month: '2026-11',
    env: WITHOUT_SOURCES,
    make: beginLater,
  },
  'days that were not tracked, past the horizon': {
    cause: 'not_fully_tracked',
    resolvedBy: 'losant-usage close',
    month: '2026-11',
    env: WITHOUT_SOURCES,
    make: async (played) => {
      await beginLater(played);
      await played.moveTo('2027-03-05T10:30:00Z');
    },
  },
  'days before the first run': {
    cause: 'not_fully_tracked',
    state: 'partly_collected',
    resolvedBy: 'losant-usage backfill',
    month: '2026-09',
    make: async ({ act, first, second, store }) => {
      await act(`backfill --from 2026-09-10 --to 2026-09-30 --org ${first} --org ${second}`);
      const setFirstDay = `update losant_usage.instances set collected_from = '2026-10-01'`;
      await asWriter(store.url, asProgram(setFirstDay));
    },
  },
  'days that are read again': {
    cause: 'not_final',
    state: 'settling',
    resolvedBy: 'losant-usage run',
    month: '2026-11',
    make: async ({ act, moveTo }) => {
      await moveTo('2026-12-01T10:30:00Z');
      await act('run');
    },
  },
  'a quiet day that was read once': {
    cause: 'not_final',
    state: 'settling',
    resolvedBy: 'losant-usage run',
    make: async (played) =>
      await addOrg(played, async () => {
        const action = 'notebookMinuteCounts';
        await played.platform.control('empty', {
          orgId: NEW_ORG,
          day: '2026-10-25',
          counter: 'notebook_minutes',
        });
        await omit(played, { action });
      }),
  },
  'an incomplete list': {
    cause: 'list_incomplete',
    resolvedBy: 'losant-usage run',
    make: async ({ platform, act }) => {
      await platform.control('config', { list: { emptyPages: [0] } });
      await act('run');
      await platform.control('config', { list: {} });
    },
  },
  'a list that stays incomplete': {
    cause: 'list_incomplete',
    resolvedBy: 'losant-usage close',
    make: async ({ platform, act }) => {
      await platform.control('config', { list: { emptyPages: [0] } });
      await act('run');
    },
  },
  'a missing day that Losant fills': {
    cause: 'missing',
    resolvedBy: 'losant-usage backfill',
    make: async (played) => {
      await addOrg(played, () => omit(played));
      await omit(played, { isOmitted: false });
    },
  },
  'a missing day that Losant never fills': {
    cause: 'missing',
    resolvedBy: 'losant-usage waive',
    make: async (played) => await addOrg(played, () => omit(played)),
  },
  'a number in doubt that Losant reports again': {
    cause: 'in_doubt',
    resolvedBy: 'losant-usage backfill',
    make: async (played) => {
      await loseDay(played);
      await omit(played, { orgId: played.second, day: '2026-10-12', isOmitted: false });
    },
  },
  'a number in doubt that Losant does not report again': {
    cause: 'in_doubt',
    resolvedBy: 'losant-usage waive',
    make: loseDay,
  },
  'a day that was not read in time': {
    cause: 'unavailable',
    resolvedBy: 'losant-usage waive',
    month: '2026-11',
    make: async (played) => {
      await omit(played, { orgId: played.first, day: '2026-11-02' });
      await played.moveTo('2026-11-12T10:30:00Z');
      await played.act('run');
      await played.moveTo('2027-02-05T10:30:00Z');
      await played.act('run');
    },
  },
  "a total of Losant's that was wrong": {
    cause: 'not_reconciled',
    resolvedBy: 'losant-usage backfill',
    make: async (played) => {
      await differ(played);
      await played.platform.control('config', { bias: null });
      await played.platform.control('restate', { orgId: played.first, day: '2026-10-14' });
    },
  },
  "a total of Losant's that stays wrong": {
    cause: 'not_reconciled',
    resolvedBy: 'losant-usage close',
    make: differ,
  },
  "a total of Losant's that stays wrong, after the month was closed": {
    cause: 'not_reconciled',
    state: 'needs_adjustment',
    resolvedBy: 'losant-usage close',
    make: async (played) => {
      await played.act('close --month 2026-10');
      await differ(played);
    },
  },
};

// Guarantee (Billing): The commands in the remedy of a blocker work as printed, and resolve it.
test.for(Object.entries(SITUATIONS))('%s: the remedy resolves it', { timeout: 120_000 }, async ([, situation]) => {
  const { cause, state = 'blocked', resolvedBy, month = '2026-10', env = {}, make } = situation;
  const played = await playOctober(env);
  await make(played);
  expect([await played.causes(month), await played.stateOf(month)]).toEqual([[cause], state]);
  expect(await follow(played, month, {})).toMatch(new RegExp(`^${resolvedBy}( |$)`));
});

// Guarantee (Billing): Runs no longer ask for a stream that was taken out of STREAMS, once its days are waived.
test('a stream without a scope is taken out of STREAMS, its days are waived, and runs are complete', {
  timeout: 120_000,
}, async () => {
  const played = await playOctober({});
  const { platform, act, run, moveTo, orgIds } = played;
  const scopes = ['instance.get', 'instanceOrgs.get', 'instanceOrg.get', 'instanceOrg.deviceCounts'].concat(
    ['instanceOrg.notebookMinuteCounts', 'instanceOrg.payloadCountsBreakdown', 'instance.deviceCounts'],
    ['instance.notebookMinuteCounts', 'instance.payloadCountsBreakdown'],
  );
  await platform.control('tokens', { token: 'without-sources', scopes });
  const env = { ...WITHOUT_SOURCES, LOSANT_API_TOKEN: 'without-sources' };
  await moveTo('2026-11-06T10:30:00Z');
  await act('run', env);
  await moveTo('2026-12-07T10:30:00Z');
  expect((await run(['run'], env)).code).toBe(5);
  expect(await played.causes('2026-11')).toEqual(['missing', 'not_final', 'not_fully_tracked']);
  await follow(played, '2026-11', env);
  for (const orgId of orgIds)
    await act(`waive --org ${orgId} --day 2026-10-01..2026-11-30 --stream payload_sources --reason agreed`);
  expect(await run(['run'], env)).toMatchObject({ code: 0 });
});
