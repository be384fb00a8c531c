/** The remedy of each blocker, followed literally until the blocker is gone, whether Losant repairs its cause or not. */
import { afterAll, expect, test } from 'vitest';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { freePort } from '../support/ports.ts';
import type { Env } from '../support/program.ts';

const WITHOUT_SOURCES: Env = { STREAMS: 'device_counts,notebook_minutes,payload_totals' };

/** The settings of a platform that soon has no more detail of a day. */
const SHORT_HORIZON: Env = { READ_AT_HOURS: '0,72', HORIZON_DAYS: '10' };

interface Played extends TimedInstallation {
  /** Runs the program, which must not reject its arguments. */
  readonly act: (command: string, env?: Env) => Promise<string>;
  readonly causes: () => Promise<string[]>;
  readonly stateOf: () => Promise<string>;
  readonly countStatements: () => Promise<number>;
}

/** The organizations exist for the last week of October. */
const [FIRST, SECOND, NEW_ORG] = ['b'.repeat(24), 'c'.repeat(24), 'a'.repeat(24)] as const;

interface Loaded {
  /** A database in which October is loaded, to copy. */
  readonly database: ClockDatabase;
  /** The port of the platform, because a database keeps the address that it was loaded from. */
  readonly port: number;
}

let october: Loaded | undefined;
afterAll(() => october?.database.drop());

async function readState({ query }: Pick<TimedInstallation, 'query'>): Promise<string> {
  const [row] = await query(`select state from losant_usage.months where month = '2026-10-01'`);
  return String(row?.['state']);
}

/** Plays two organizations of which nothing is loaded yet. */
async function play(at: string, { database, port }: Partial<Loaded> = {}): Promise<Played> {
  const installation = await createTimedInstallation(at, { orgs: 0, ...(port && { port }) }, database);
  const { run, query, platform } = installation;
  for (const id of [FIRST, SECOND]) await platform.control('orgs', { id, creationDate: '2026-10-25T08:00:00Z' });
  const act = async (command: string, changes: Env = {}) => {
    const { stdout, stderr, code } = await run(command.split(' '), changes);
    expect([command, code, code === 2 || code === 1 ? stderr : '']).toEqual([command, expect.any(Number), '']);
    return stdout;
  };
  const causes = async () => {
    const rows = await query(
      `select distinct cause from losant_usage.month_blockers where month = '2026-10-01' order by 1`,
    );
    return rows.map(({ cause }) => String(cause));
  };
  const countStatements = async () => (await query('select from losant_usage.statements')).length;
  return { ...installation, act, causes, stateOf: () => readState(installation), countStatements };
}

/** Plays organizations whose October is loaded, and final since the 5th of November. */
async function playOctober(): Promise<Played> {
  const port = october?.port ?? (await freePort());
  const played = await play('2026-11-05T10:30:00Z', { port, ...october });
  if (october === undefined) {
    await played.act('backfill --from 2026-10-25 --to 2026-10-31');
    expect(await played.stateOf()).toBe('ready');
    october = { database: await createClockDatabase(played.database), port };
  }
  await played.moveTo('2026-11-05T11:30:00Z');
  return played;
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
async function follow(played: Played, env: Env = {}): Promise<string> {
  const { act, moveTo, stateOf, causes, countStatements } = played;
  const statements = await countStatements();
  for (let round = 1; round <= 5; round += 1) {
    const preview = await act(`close --month 2026-10${statements > 0 ? ' --adjust' : ''} --dry-run`);
    const [, remedies = ''] = /^To resolve:\n(.*?)\n\n/ms.exec(preview) ?? [];
    for (const line of remedies.split('\n').map((each) => each.trim())) {
      const due = /(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC; then:$/.exec(line);
      if (due) await moveTo(`${due[1]}T${due[2]}:30Z`);
      if (!line.startsWith('losant-usage ')) continue;
      await execute(act, line, env);
      if ((await causes()).length === 0) return line;
      if ((await countStatements()) > statements && (await stateOf()) === 'closed') return line;
    }
  }
  throw new Error(`still blocked by ${(await causes()).join(', ')}`);
}

interface Situation {
  readonly cause: string;
  /** `blocked` if unset. */
  readonly state?: string;
  /** What the last command that was needed begins with. */
  readonly resolvedBy: string;
  readonly make: () => Promise<Played>;
}

const omit = async (
  { platform }: Played,
  { orgId = NEW_ORG, day = '2026-10-30', action = 'deviceCounts', isOmitted = true } = {},
) => await platform.control('omit', { orgId, day, action, omit: isOmitted });

/** Adds an organization and loads its days; what is omitted of it was omitted from the first read on. */
async function playNewOrg(omitDay: (played: Played) => Promise<unknown> = omit): Promise<Played> {
  const played = await playOctober();
  const { platform, act } = played;
  await platform.control('orgs', { id: NEW_ORG, creationDate: '2026-10-29T08:00:00Z', size: 0.5 });
  await omitDay(played);
  await act('backfill --from 2026-10-29 --to 2026-10-31');
  return played;
}

/** Loses the numbers of a day that is stored. */
async function playLostDay(): Promise<Played> {
  const played = await playOctober();
  await omit(played, { orgId: SECOND, day: '2026-10-27' });
  await played.act(`backfill --from 2026-10-27 --to 2026-10-27 --org ${SECOND} --force`);
  return played;
}

/** Makes Losant's total of a day differ from the sum, which is read again because a number of it changes. */
async function differ({ platform, act }: Played): Promise<void> {
  const day = '2026-10-26';
  await platform.control('config', { bias: [{ counter: 'device_counts', day, by: 1 }] });
  await platform.control('restate', { orgId: FIRST, day });
  await act(`backfill --from ${day} --to ${day} --force`);
}

/** Tracks a stream from the 29th of October on. */
async function playLaterStream(): Promise<Played> {
  const played = await play('2026-10-28T10:30:00Z');
  await played.act('backfill --from 2026-10-25 --to 2026-10-27', WITHOUT_SOURCES);
  await played.moveTo('2026-10-30T10:30:00Z');
  await played.act('run');
  await played.moveTo('2026-11-05T10:30:00Z');
  await played.act('run');
  return played;
}

async function playIncompleteList(): Promise<Played> {
  const played = await playOctober();
  await played.platform.control('config', { list: { emptyPages: [0] } });
  await played.act('run');
  return played;
}

const SITUATIONS: Readonly<Record<string, Situation>> = {
  'days that were not tracked': {
    cause: 'not_fully_tracked',
    resolvedBy: 'losant-usage backfill',
    make: playLaterStream,
  },
  'days that were not tracked, past the horizon': {
    cause: 'not_fully_tracked',
    resolvedBy: 'losant-usage close',
    make: async () => {
      const played = await playLaterStream();
      await played.moveTo('2027-03-05T10:30:00Z');
      return played;
    },
  },
  'days before the first run': {
    cause: 'not_fully_tracked',
    state: 'partly_collected',
    resolvedBy: 'losant-usage backfill',
    make: async () => {
      const played = await play('2026-11-05T10:30:00Z');
      await played.act(`backfill --from 2026-10-28 --to 2026-10-31 --org ${FIRST} --org ${SECOND}`);
      return played;
    },
  },
  'days that are read again': {
    cause: 'not_final',
    state: 'settling',
    resolvedBy: 'losant-usage run',
    make: async () => {
      const played = await play('2026-11-02T10:30:00Z');
      await played.act('backfill --from 2026-10-25 --to 2026-10-31');
      return played;
    },
  },
  'a quiet day that was read once': {
    cause: 'not_final',
    state: 'settling',
    resolvedBy: 'losant-usage run',
    make: () =>
      playNewOrg(async (played) => {
        const action = 'notebookMinuteCounts';
        await played.platform.control('empty', { orgId: NEW_ORG, day: '2026-10-30', counter: 'notebook_minutes' });
        await omit(played, { action });
      }),
  },
  'an incomplete list': {
    cause: 'list_incomplete',
    resolvedBy: 'losant-usage run',
    make: async () => {
      const played = await playIncompleteList();
      await played.platform.control('config', { list: {} });
      return played;
    },
  },
  'a list that stays incomplete': {
    cause: 'list_incomplete',
    resolvedBy: 'losant-usage close',
    make: playIncompleteList,
  },
  'a missing day that Losant fills': {
    cause: 'missing',
    resolvedBy: 'losant-usage backfill',
    make: async () => {
      const played = await playNewOrg();
      await omit(played, { isOmitted: false });
      return played;
    },
  },
  'a missing day that Losant never fills': {
    cause: 'missing',
    resolvedBy: 'losant-usage waive',
    make: () => playNewOrg(),
  },
  'a number in doubt that Losant reports again': {
    cause: 'in_doubt',
    resolvedBy: 'losant-usage backfill',
    make: async () => {
      const played = await playLostDay();
      await omit(played, { orgId: SECOND, day: '2026-10-27', isOmitted: false });
      return played;
    },
  },
  'a number in doubt that Losant does not report again': {
    cause: 'in_doubt',
    resolvedBy: 'losant-usage waive',
    make: playLostDay,
  },
  'a day that is not read again, because Losant rejects the token': {
    cause: 'not_final',
    resolvedBy: 'losant-usage waive',
    make: async () => {
      const played = await play('2026-11-02T10:30:00Z');
      await played.act('backfill --from 2026-10-25 --to 2026-10-31');
      await played.platform.control('tokens/revoke', { token: played.platform.token });
      await played.moveTo('2026-11-10T10:30:00Z');
      return played;
    },
  },
  'a day that was not read in time': {
    cause: 'unavailable',
    resolvedBy: 'losant-usage waive',
    make: async () => {
      const played = await playNewOrg();
      await played.moveTo('2026-11-15T10:30:00Z');
      await played.act('run', SHORT_HORIZON);
      return played;
    },
  },
  "a total of Losant's that was wrong": {
    cause: 'not_reconciled',
    resolvedBy: 'losant-usage backfill',
    make: async () => {
      const played = await playOctober();
      await differ(played);
      await played.platform.control('config', { bias: null });
      await played.platform.control('restate', { orgId: FIRST, day: '2026-10-26' });
      return played;
    },
  },
  "a total of Losant's that stays wrong": {
    cause: 'not_reconciled',
    resolvedBy: 'losant-usage close',
    make: async () => {
      const played = await playOctober();
      await differ(played);
      return played;
    },
  },
  "a total of Losant's that stays wrong, after the month was closed": {
    cause: 'not_reconciled',
    state: 'needs_adjustment',
    resolvedBy: 'losant-usage close',
    make: async () => {
      const played = await playOctober();
      await played.act('close --month 2026-10');
      await differ(played);
      return played;
    },
  },
};

// Guarantee (Billing): The commands in the remedy of a blocker work as printed, and resolve it.
test.for(Object.entries(SITUATIONS))('%s: the remedy resolves it', { timeout: 120_000 }, async ([, situation]) => {
  const { cause, state = 'blocked', resolvedBy, make } = situation;
  const played = await make();
  expect([await played.causes(), await played.stateOf()]).toEqual([[cause], state]);
  expect(await follow(played)).toMatch(new RegExp(`^${resolvedBy}( |$)`));
});

// Guarantee (Billing): Runs no longer ask for a stream that was taken out of STREAMS, once its days are waived.
test('a stream without a scope is taken out of STREAMS, its days are waived, and runs are complete', {
  timeout: 120_000,
}, async () => {
  const played = await play('2026-10-30T10:30:00Z');
  const { platform, act, run, moveTo } = played;
  await act('backfill --from 2026-10-25 --to 2026-10-29');
  const scopes = ['instance.get', 'instanceOrgs.get', 'instanceOrg.get', 'instanceOrg.deviceCounts'].concat(
    ['instanceOrg.notebookMinuteCounts', 'instanceOrg.payloadCountsBreakdown', 'instance.deviceCounts'],
    ['instance.notebookMinuteCounts', 'instance.payloadCountsBreakdown'],
  );
  await platform.control('tokens', { token: 'without-sources', scopes });
  const env = { ...WITHOUT_SOURCES, LOSANT_API_TOKEN: 'without-sources' };
  await moveTo('2026-10-31T10:30:00Z');
  await act('run', env);
  await moveTo('2026-11-05T10:30:00Z');
  expect((await run(['run'], env)).code).toBe(5);
  expect(await played.causes()).toEqual(['missing', 'not_final', 'not_fully_tracked']);
  await follow(played, env);
  for (const orgId of [FIRST, SECOND])
    await act(`waive --org ${orgId} --day 2026-10-25..2026-10-31 --stream payload_sources --reason agreed`);
  expect(await run(['run'], env)).toMatchObject({ code: 0 });
});
