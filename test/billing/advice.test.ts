/** The remedy of each blocker, followed literally until the blocker is gone, whether Losant repairs its cause or not. */
import { afterAll, expect, test } from 'vitest';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { freePort } from '../support/ports.ts';
import type { Env } from '../support/program.ts';
import { followRemedies } from './remedies.ts';

const WITHOUT_SOURCES: Env = { STREAMS: 'device_counts,notebook_minutes,payload_totals' };

interface Played extends TimedInstallation {
  /** Runs the program, which must not reject its arguments. */
  readonly act: (command: string, env?: Env) => Promise<string>;
  readonly causes: () => Promise<string[]>;
  readonly stateOf: () => Promise<string>;
  readonly countStatements: () => Promise<number>;
}

/** The organizations exist for the last week of October. */
const [FIRST = '', SECOND = '', NEW_ORG = '', OTHER_ORG = ''] = ['b', 'c', 'a', 'd'].map((digit) => digit.repeat(24));

interface Loaded {
  /** A database in which October is loaded, to copy. */
  readonly database: ClockDatabase;
  /** The port of the platform, because a database keeps the address that it was loaded from. */
  readonly port: number;
}

let october: Loaded | undefined;
afterAll(() => october?.database.drop());

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
  const stateOf = async () => {
    const [row] = await query(`select state from losant_usage.months where month = '2026-10-01'`);
    return String(row?.['state']);
  };
  const countStatements = async () => (await query('select from losant_usage.statements')).length;
  return { ...installation, act, causes, stateOf, countStatements };
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

/**
 * Follows what `close --dry-run` prints until nothing blocks the month or it is closed. Returns the last command that
 * was needed.
 */
async function follow(played: Played, env: Env = {}): Promise<string> {
  const { act, moveTo, stateOf, causes, countStatements } = played;
  const statements = await countStatements();
  const isClosed = async () => (await countStatements()) > statements && (await stateOf()) === 'closed';
  const isDone = async () => (await causes()).length === 0 || (await isClosed());
  const paste = async (command: string) => {
    const [program, ...args] = command.split(' ');
    expect([command, program]).toEqual([command, 'losant-usage']);
    return await act(args.map((arg) => (arg === 'TEXT' ? 'agreed' : arg)).join(' '), env);
  };
  for (let round = 1; round <= 5; round += 1) {
    const preview = await act(`close --month 2026-10${statements > 0 ? ' --adjust' : ''} --dry-run`);
    const command = await followRemedies({ paste, moveTo, isDone }, preview);
    if (command !== null && (await isDone())) return command;
  }
  throw new Error(`still blocked by ${(await causes()).join(', ')}`);
}

/** Expects that these causes block the month, and that the printed commands resolve them; the last one begins so. */
async function expectResolved(
  played: Played,
  causes: readonly string[],
  { state = 'blocked', by }: { readonly state?: string; readonly by: string },
): Promise<void> {
  expect([await played.causes(), await played.stateOf()]).toEqual([causes, state]);
  expect(await follow(played)).toMatch(new RegExp(`^losant-usage ${by}( |$)`));
}

const omit = async (
  { platform }: Played,
  { orgId = NEW_ORG, day = '2026-10-30', action = 'deviceCounts', isOmitted = true } = {},
) => await platform.control('omit', { orgId, day, action, omit: isOmitted });

/** Adds organizations and loads their days; what is omitted of them was omitted from the first read on. */
async function addOrgs({ platform, act }: Played, ids: readonly string[], omitDay: (id: string) => Promise<unknown>) {
  for (const id of ids) {
    await platform.control('orgs', { id, creationDate: '2026-10-29T08:00:00Z', size: 0.5 });
    await omitDay(id);
  }
  await act('backfill --from 2026-10-29 --to 2026-10-31');
}

/** Makes Losant's total of a day differ from the sum, which is read again because a number of it changes. */
async function differ({ platform, act }: Played, day: string): Promise<void> {
  await platform.control('config', { bias: [{ counter: 'device_counts', day, by: 1 }] });
  await platform.control('restate', { orgId: FIRST, day });
  await act(`backfill --from ${day} --to ${day} --force`);
}

// Guarantee (Billing): The commands in the remedy of a blocker work as printed, and resolve it.
test('days that are missing or in doubt are read again, or waived if Losant never reports them', async () => {
  const played = await playOctober();
  const { act, query } = played;
  await addOrgs(played, [NEW_ORG, OTHER_ORG], (orgId) => omit(played, { orgId }));
  const day = '2026-10-27';
  for (const orgId of [FIRST, SECOND]) await omit(played, { orgId, day });
  await act(`backfill --from ${day} --to ${day} --force`);
  await omit(played, { isOmitted: false });
  await omit(played, { orgId: SECOND, day, isOmitted: false });
  await expectResolved(played, ['in_doubt', 'missing'], { by: 'waive' });
  const waived = await query(`select org_id from losant_usage.cells where standing = 'waived' order by org_id`);
  expect(waived).toEqual([{ org_id: FIRST }, { org_id: OTHER_ORG }]);
});

test('days that were not read in time are waived', async () => {
  const played = await playOctober();
  await addOrgs(played, [NEW_ORG], () => omit(played));
  await played.moveTo('2026-11-15T10:30:00Z');
  await played.act('run', { READ_AT_HOURS: '0,72', HORIZON_DAYS: '10' });
  await expectResolved(played, ['unavailable'], { by: 'waive' });
});

test('days that are not read again, because Losant rejects the token, are waived', async () => {
  const played = await play('2026-11-02T10:30:00Z');
  await played.act('backfill --from 2026-10-25 --to 2026-10-31');
  await played.platform.control('tokens/revoke', { token: played.platform.token });
  await played.moveTo('2026-11-10T10:30:00Z');
  await expectResolved(played, ['not_final'], { by: 'waive' });
});

test('a quiet day that was read once is read again by a run', async () => {
  const played = await playOctober();
  await addOrgs(played, [NEW_ORG], async (orgId) => {
    await played.platform.control('empty', { orgId, day: '2026-10-30', counter: 'notebook_minutes' });
    await omit(played, { action: 'notebookMinuteCounts' });
  });
  const preview = await played.act('close --month 2026-10 --dry-run');
  expect(preview).toMatch(/^Still settling, not closed: 2026-10 of /);
  expect(preview).toContain('the last of these cells is due at 2026-11-05 12:30 UTC; then:\n');
  await expectResolved(played, ['not_final'], { state: 'settling', by: 'run' });
});

test('days before the first run are loaded by a backfill', async () => {
  const played = await play('2026-11-05T10:30:00Z');
  await played.act(`backfill --from 2026-10-28 --to 2026-10-31 --org ${FIRST} --org ${SECOND}`);
  await expectResolved(played, ['not_fully_tracked'], { state: 'partly_collected', by: 'backfill' });
});

test('days that were not tracked, past the horizon, are accepted', async () => {
  const played = await play('2026-10-28T10:30:00Z');
  await played.act('backfill --from 2026-10-25 --to 2026-10-27', WITHOUT_SOURCES);
  await played.moveTo('2026-10-30T10:30:00Z');
  await played.act('run');
  await played.moveTo('2026-11-05T10:30:00Z');
  await played.act('run');
  await played.moveTo('2027-03-05T10:30:00Z');
  await expectResolved(played, ['not_fully_tracked'], { by: 'close' });
});

test('a list or a total of Losant is read again, or accepted if it stays wrong', async () => {
  const played = await playOctober();
  const { platform, act } = played;
  const loseOrgs = async () => {
    await platform.control('config', { list: { emptyPages: [0] } });
    await act('run');
  };
  await loseOrgs();
  await platform.control('config', { list: {} });
  await expectResolved(played, ['list_incomplete'], { by: 'run' });
  await differ(played, '2026-10-26');
  await platform.control('config', { bias: null });
  await platform.control('restate', { orgId: FIRST, day: '2026-10-26' });
  await expectResolved(played, ['not_reconciled'], { by: 'backfill' });
  await loseOrgs();
  await expectResolved(played, ['list_incomplete'], { by: 'close' });
  await platform.control('config', { list: {} });
  await act('run');
  await differ(played, '2026-10-27');
  await expectResolved(played, ['not_reconciled'], { state: 'needs_adjustment', by: 'close' });
});

// Guarantee (Billing): Runs no longer ask for a stream that was taken out of STREAMS, once its days are waived.
test('a stream without a scope is taken out of STREAMS, its days are waived, and runs are complete', async () => {
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
