/**
 * A month of three instances, played as whoever bills would: with the documented roles, in a database whose sessions
 * have other defaults, and by nothing but the commands that are printed.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import type { Row } from '../e2e/usage.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { asAdministrator, asWriter } from '../support/databases.ts';
import { createTestFolder } from '../support/folders.ts';
import { runProgram } from '../support/program.ts';
import { followRemedies } from './remedies.ts';

const MONTH = '2026-10';
/** Two organizations by instance, which exist for the last week of October. */
const ORGS = [1, 3, 5].map((first) => [first, first + 1].map((digit) => `${digit}`.repeat(24)));

const HOSTILE_DEFAULTS = [
  `timezone = 'Asia/Beirut'`,
  `datestyle = 'German'`,
  `intervalstyle = 'sql_standard'`,
  `default_transaction_isolation = 'serializable'`,
  `extra_float_digits = -5`,
];

interface Played {
  readonly clock: TimedInstallation;
  readonly platforms: readonly [Platform, Platform, Platform];
  /** Runs a command as pasted, which must not reject its arguments, and returns what it prints. */
  readonly paste: (command: string) => Promise<string>;
  readonly folder: string;
}

async function playThreeInstances(): Promise<Played> {
  const clock = await createTimedInstallation('2026-11-05T10:30:00Z', { orgs: 0 });
  for (const setting of HOSTILE_DEFAULTS) await asAdministrator(`alter database ${clock.database.name} set ${setting}`);
  const options = { now: clock.now, orgs: 0, hostile: false };
  const others = await Promise.all(['b', 'c'].map((seed) => startPlatform({ ...options, seed })));
  const platforms = [clock.platform, ...others] as unknown as Played['platforms'];
  for (const [index, platform] of platforms.entries()) {
    for (const id of ORGS[index] ?? []) await platform.control('orgs', { id, creationDate: '2026-10-25T08:00:00Z' });
  }
  const folder = createTestFolder();
  onTestFinished(async () => {
    for (const platform of others) await platform[Symbol.asyncDispose]();
  });
  const instances = platforms.map(({ instanceId, url, token }, index) => {
    writeFileSync(join(folder, `token-${index}`), token);
    return `  - { LOSANT_INSTANCE_ID: ${instanceId}, LOSANT_API_URL: "${url}", LOSANT_API_TOKEN_FILE: token-${index},
      REQUESTS_PER_SECOND: 2000 }`;
  });
  writeFileSync(join(folder, 'usage.yaml'), `instances:\n${instances.join('\n')}\n`);
  const env = { DATABASE_URL: clock.store.url, LOSANT_USAGE_CONFIG: join(folder, 'usage.yaml') };
  const paste = async (command: string) => {
    const [, ...args] = command.replace(/\bTEXT$/, 'agreed').split(' ');
    const ended = await runProgram(args, env, { hostNow: clock.now });
    const isUnderstood = ![1, 2, null].includes(ended.code);
    expect([command, isUnderstood ? '' : ended.stdout + ended.stderr]).toEqual([command, '']);
    return ended.stdout;
  };
  return { clock, platforms, paste, folder };
}

/** The rows of `losant-usage close` for the month: its state and the next command, by instance. */
async function listMonth(paste: Played['paste']) {
  const lines = (await paste('losant-usage close')).split('\n');
  return lines.flatMap((line) => {
    const [instanceId = '', month, state = ''] = line.trim().split(/ {2,}/);
    const command = /losant-usage close .*$/.exec(line)?.[0].trim();
    return month === MONTH ? [{ instanceId, state, command }] : [];
  });
}

/** Follows the next command of each instance until the month is closed everywhere. Returns the states on the way. */
async function closeByPrintedCommands({ clock: { moveTo }, paste }: Played): Promise<string[][]> {
  const states: string[][] = [];
  const isDone = () => Promise.resolve(false);
  for (let round = 1; round <= 6; round += 1) {
    const rows = await listMonth(paste);
    states.push(rows.map(({ state }) => state));
    if (rows.length === 3 && rows.every(({ state }) => state === 'closed')) return states;
    for (const { command } of rows) {
      if (command === undefined) continue;
      const printed = await paste(command);
      const [, next] = /^To (?:close|adjust) it: (.*)$/m.exec(printed) ?? [];
      if (next !== undefined) await paste(next);
      if (command.endsWith('--dry-run')) await followRemedies({ paste, moveTo, isDone }, printed);
    }
  }
  throw new Error(`not closed: ${JSON.stringify(states)}`);
}

/** Returns what differs between the billed flows of the month and the days of settled cells, from the base tables. */
async function compareWithDays({ clock }: Played): Promise<Row[]> {
  return await asWriter(
    clock.store.url,
    `
    with settled as (
      select d.org_id, m.metric, (to_jsonb(d) ->> m.metric)::bigint as number
      from losant_usage.usage_days d
      join losant_usage.coverage c on c.usage_date = d.usage_date and c.org_id = d.org_id
        and c.standing in ('final', 'waived') and c.is_stored
      join losant_usage.metrics m on m.stream = c.stream and m.kind = 'flow'
      where d.usage_date between date '2026-10-01' and date '2026-10-31'
    ),
    truth as (select org_id, metric, sum(number) as quantity from settled group by 1, 2),
    billed as (
      select org_id, metric, sum(quantity) as quantity from losant_usage.statement_lines
      where month = date '2026-10-01' and kind = 'flow' group by 1, 2
    )
    select coalesce(t.org_id, b.org_id) as org_id, metric, t.quantity as stored, b.quantity as billed
    from truth t full join billed b using (metric, org_id) where t.quantity is distinct from b.quantity`,
  );
}

// Guarantee (Billing): A month of several instances is closed, adjusted and proved by the printed commands alone.
test('a month of three instances is closed, adjusted and proved by the printed commands', async () => {
  const played = await playThreeInstances();
  const { platforms, paste, folder } = played;
  const [east, west, north] = platforms;
  const [[missing = '', changed = ''] = [], [lost = ''] = []] = ORGS;
  // A day that Losant never reports, a total that stays wrong, and a number that Losant no longer reports.
  await east.control('omit', { orgId: missing, day: '2026-10-26', action: 'deviceCounts', omit: true });
  await north.control('config', { bias: [{ counter: 'device_counts', day: '2026-10-28', by: 1 }] });
  await paste('losant-usage backfill --from 2026-10-25 --to 2026-10-31');
  await west.control('omit', { orgId: lost, day: '2026-10-27', action: 'deviceCounts', omit: true });
  await paste(`losant-usage backfill --from 2026-10-27 --to 2026-10-27 --org ${lost} --force`);

  expect((await closeByPrintedCommands(played))[0]).toEqual(['blocked', 'blocked', 'blocked']);
  expect(await compareWithDays(played)).toEqual([]);

  // A final number changes after the month was closed.
  await east.control('restate', { orgId: changed, day: '2026-10-29' });
  await paste(`losant-usage backfill --from 2026-10-29 --to 2026-10-29 --org ${changed} --force`);
  expect((await closeByPrintedCommands(played))[0]?.toSorted()).toEqual(['closed', 'closed', 'needs_adjustment']);
  expect(await compareWithDays(played)).toEqual([]);

  await paste(`losant-usage statement --month ${MONTH} --out ${folder}/packs`);
  expect(await paste(`losant-usage verify ${folder}/packs`)).toMatch(/ is valid: .* of 4 statements\.$/m);
});
