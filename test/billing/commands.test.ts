/** `close` and `statement` from the command line, and the views that other systems bill from. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { DEVICES, INSTANCE, OTHER_INSTANCE, useBooks } from './books.ts';

const books = useBooks();
let acme: string;

beforeAll(async () => {
  acme = await books.addOrg({ from: '2026-08-10', customerId: 'cus_acme' });
  const days = { from: '2026-08-10', to: '2026-08-31' };
  await books.addCells({ orgId: acme, ...days });
  await books.addCells({ orgId: acme, from: '2026-09-01', to: '2026-09-29' });
  await books.addCells({ orgId: acme, from: '2026-09-30', standing: 'unavailable', numbers: null });
  const october = { from: '2026-10-01', to: '2026-10-31', numbers: { ...DEVICES, devices_total: 20 } };
  await books.addCells({ orgId: acme, ...october });
});

const run = async (...args: readonly string[]): Promise<Ended> =>
  await runProgram([...args], { DATABASE_URL: books.url });
const close = async (...args: readonly string[]): Promise<Ended> => await run('close', '--instance', INSTANCE, ...args);

interface Closed {
  readonly blockersHash: string | null;
  readonly blockers: readonly { readonly remedy: string }[];
  readonly reconciliation: readonly object[];
  readonly lines: readonly { readonly orgId: string }[];
  readonly lineCount: number;
}

const closeJson = async (...args: readonly string[]) => {
  const ended = await close('--json', ...args);
  return { code: ended.code, ...jsonOf<{ instances: readonly Closed[] }>(ended).instances[0] };
};

const listMonths = async (): Promise<readonly object[]> =>
  jsonOf<{ months: readonly object[] }>(await close('--json')).months;

describe('a month end', () => {
  test('starts with the list of months', async () => {
    expect(await listMonths()).toMatchObject([
      { month: '2026-11', state: 'in_progress', isOver: false },
      { month: '2026-10', state: 'ready', isOver: true, orgsBlocked: 0 },
      { month: '2026-09', state: 'blocked', causes: ['unavailable'], orgsBlocked: 1 },
      { month: '2026-08', state: 'ready', causes: null, orgsToAdjust: null, linesToAdjust: null },
    ]);
    expect((await close()).stdout).toMatch(
      /2026-09 +blocked +unavailable: 1 organization +losant-usage close --month 2026-09 --instance \w+ --dry-run/,
    );
  });

  test('shows what was not compared, instead of no difference', async () => {
    const { stdout } = await close('--month', '2026-08', '--dry-run');
    expect(stdout).toMatch(/device_counts +Losant's own total +22 days not compared +no total/);
    const { reconciliation } = await closeJson('--month', '2026-08', '--dry-run');
    const control = { compared_with: 'losant', outcome: 'not_compared', reason: 'no_total' };
    expect(reconciliation).toEqual([{ stream: 'device_counts', ...control, days: 22 }]);
  });

  test('does not close a blocked month, and prints the commands that resolve or accept the blockers', async () => {
    const refused = await closeJson('--month', '2026-09');
    expect(refused).toMatchObject({ code: 3, outcome: 'refused', blockers: [{ cause: 'unavailable' }] });
    const { stdout } = await close('--month', '2026-09');
    for (const command of refused.blockers?.[0]?.remedy.split('\n') ?? []) expect(stdout).toContain(command);
    expect(stdout).toContain(
      `\n  losant-usage close --month 2026-09 --instance ${INSTANCE} ` +
        `--accept-blockers ${refused.blockersHash} --reason TEXT\n`,
    );
  });

  const AUGUST = ['--month', '2026-08'];
  const HASH = ['--accept-blockers', '0123456789ab'];
  const AGREED = ['--reason', 'agreed'];
  test.for([
    [[...AUGUST, ...HASH], '--accept-blockers and --reason must be given together'],
    [[...AUGUST, '--reason', ' ', ...HASH], 'say why'],
    [[...AUGUST, ...AGREED, ...HASH], '2026-08 is no longer blocked'],
    [['--month', '2026-11', ...AGREED, ...HASH], '2026-11 has not ended'],
    [[...AUGUST, '--adjust'], 'is not closed, so there is nothing to adjust'],
    [[...AUGUST, '--adjust'], `close it first: losant-usage close --month 2026-08 --instance ${INSTANCE}`],
  ] as const)('rejects the options %j', async ([args, problem]) => {
    const ended = await close(...args);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });

  test('closes, adjusts, writes the packs and verifies them', async () => {
    expect(await closeJson('--month', '2026-08')).toMatchObject({
      code: 0,
      outcome: 'closed',
      lines: [
        { metric: 'devices_created', quantity: '88' },
        { metric: 'devices_deleted', quantity: '22' },
        { metric: 'devices_total', quantity: '17' },
      ],
    });
    const { stdout: unchanged } = await close('--month', '2026-08', '--adjust');
    expect(unchanged).toMatch(/^Nothing has changed since the last statement: 2026-08 of/);
    await books.setTime(new Date(books.nowMs + 1_000).toISOString());
    await books.restate(acme, '2026-08-31', { old: { devices_total: 17 }, numbers: { devices_total: 15 } });
    const different = { month: '2026-08', state: 'needs_adjustment', orgsToAdjust: 1, linesToAdjust: 1 };
    expect((await listMonths()).at(-1)).toMatchObject(different);
    const adjusted = await close('--month', '2026-08', '--adjust');
    const closed = { ...different, state: 'closed', orgsToAdjust: 0, linesToAdjust: 0 };
    expect((await listMonths()).at(-1)).toMatchObject(closed);
    expect(adjusted.code).toBe(0);
    expect(adjusted.stdout).toMatch(/devices_total +1 +-2 +devices/);
    expect(adjusted.stdout).toMatch(
      /1 daily number explains it:\n.*\n *Acme +devices_total +2026-08-31 +17 +15 +restated 2026-11-22 12:00 UTC, revision 2, run /,
    );
    expect(adjusted.stdout).toContain('\nStatement 2 by losant_usage_closer, ');
    const next = `losant-usage statement --month 2026-08 --instance ${INSTANCE} --out DIR`;
    expect(adjusted.stdout).toContain(`\nWrite its proof pack: ${next}\n`);
    expect(adjusted.stdout).toContain('\nIt is not signed, because STATEMENT_KEY_FILE is not set.\n');
    const state = /2026-08 +closed +2 statements, closed 2026-11-\d\d \d\d:\d\d UTC by losant_usage_closer/;
    expect((await close()).stdout).toMatch(state);
    const out = join(books.folder, 'august');
    const where = ['--month', '2026-08', '--instance', INSTANCE, '--out', out];
    const statements = [{ folder: '.' }, { folder: 'adjustment-1' }];
    expect(jsonOf(await run('statement', ...where, '--json'))).toMatchObject({ statements });
    const verified = await run('verify', out);
    expect(verified.code).toBe(0);
    expect(verified.stdout).toContain('Identical, byte for byte, to the copy in the database');
    expect(await readFile(join(out, 'lines.csv'), 'utf8')).toContain('cus_acme');
    await appendFile(join(out, 'lines.csv'), ' ');
    const changed = await run('verify', out);
    expect(changed.code).toBe(3);
    expect(changed.stdout).toContain('from the database: losant-usage statement --month YYYY-MM --out DIR\n');
    expect((await run('statement', '--month', '2026-10', '--out', join(books.folder, 'x'))).code).toBe(2);
  });
});

describe('meter_events', () => {
  // Guarantee (Billing): Events for other systems keep their ID, time and value once a month is closed.
  test('has an event per line, with a stable ID', async () => {
    const events = sql`select event_id, metric, difference, customer_id, length(event_id) <= 100
      from losant_usage.meter_events where month = '2026-08-01' order by number, metric`;
    const event = (metric: string, number: number, difference: number) =>
      `${INSTANCE}:${acme}:${metric}:2026-08:${number} ${metric} ${difference} cus_acme true`;
    expect(await books.list(events)).toEqual([
      event('devices_created', 1, 88),
      event('devices_deleted', 1, 22),
      event('devices_total', 1, 17),
      event('devices_total', 2, -2),
    ]);
  });

  test('dates an event within its month if the month was closed in time, and at the close otherwise', async () => {
    // A minute before 28 days after the end of October.
    await books.setTime('2026-11-28T23:59:00Z');
    await books.close('2026-10');
    const times = sql`select distinct to_char(occurred_at at time zone 'UTC', 'MM-DD HH24:MI') as at
      from losant_usage.meter_events where (month, number) in (('2026-10-01', 3), ('2026-08-01', 1)) order by 1`;
    expect(await books.list(times)).toEqual(['10-31 23:59', expect.stringMatching(/^11-22 12:/)]);
  });
});

test('draft_lines has the lines that would be billed, in a closed month those of an adjustment', async () => {
  const drafts = sql`select instance_id, month, statement_kind, metric, quantity, customer_id
    from losant_usage.draft_lines where month in ('2026-08-01', '2026-09-01', '2026-11-01') order by month, metric`;
  await books.restate(acme, '2026-08-30', { old: { devices_created: 4 }, numbers: { devices_created: 7 } });
  expect(await books.list(drafts)).toEqual([
    `${INSTANCE} 2026-08-01 adjustment devices_created 3 cus_acme`,
    `${INSTANCE} 2026-09-01 closing devices_created 116 cus_acme`,
    `${INSTANCE} 2026-09-01 closing devices_deleted 29 cus_acme`,
    `${INSTANCE} 2026-09-01 closing devices_total 17 cus_acme`,
  ]);
  await books.restate(acme, '2026-08-30', { old: { devices_created: 7 }, numbers: { devices_created: 4 } });
});

test('customer_statements has what each statement bills a customer, and an organization without one is listed by itself', async () => {
  const days = { from: '2026-07-10', to: '2026-07-11' };
  const [nobody, other] = [await books.addFinalOrg({ ...days, customerId: '' }), await books.addFinalOrg(days)];
  await books.close('2026-07');
  const rows = sql`select customer_id, org_id, org_name, month, number, statement_kind, billed_before, quantity, total
    from losant_usage.customer_statements where metric = 'devices_total' order by month, customer_id, org_id, number`;
  expect(await books.list(rows)).toEqual([
    `- ${nobody} Acme 2026-07-01 4 closing - 17 17`,
    `- ${other} Acme 2026-07-01 4 closing - 17 17`,
    'cus_acme - Acme 2026-08-01 1 closing - 17 17',
    'cus_acme - Acme 2026-08-01 2 adjustment 17 -2 15',
    'cus_acme - Acme 2026-10-01 3 closing - 20 20',
  ]);
  const statements = sql`select distinct s.closed_by, c.closed_by = s.closed_by as is_same,
      c.manifest_sha256 = encode(s.manifest_sha256, 'hex') as is_sealed
    from losant_usage.customer_statements c join losant_usage.statements s on s.statement_id = c.statement_id`;
  expect(await books.list(statements)).toEqual(['losant_usage_closer true true']);
});

describe('a month of two instances', () => {
  test('is listed for one of them with a command that closes no other one', async () => {
    const lastDay = { from: '2026-01-31', to: '2026-01-31' };
    for (const instanceId of [INSTANCE, OTHER_INSTANCE]) {
      await books.addFinalOrg({ ...lastDay, instanceId });
    }
    const { stdout } = await run('close', '--instance', OTHER_INSTANCE);
    expect(stdout).not.toContain(INSTANCE);
    const command = `losant-usage close --month 2026-01 --instance ${OTHER_INSTANCE}\n`;
    expect(stdout).toMatch(new RegExp(`2026-01 +ready +ready to close +${command}`));
  });

  test('is closed and adjusted for one of them if the other one has nothing to bill', async () => {
    const may = { from: '2025-05-10', to: '2025-05-31' };
    await books.addFinalOrg(may);
    for (const more of [[], ['--adjust']]) {
      const { code, stdout, stderr } = await run('close', '--month', '2025-05', ...more);
      expect([code, stdout]).toEqual([0, expect.not.stringContaining(OTHER_INSTANCE)]);
      expect(stderr).toContain('skipped: the instance has nothing to bill');
      expect(stderr).toContain(OTHER_INSTANCE);
    }
    expect((await run('close', '--month', '2025-05', '--instance', OTHER_INSTANCE)).code).toBe(2);
    expect((await run('close', '--month', '2024-05')).code).toBe(2);
  });

  test('is reported for the first one even if the second one fails', async () => {
    const february = { from: '2026-02-10', to: '2026-02-28' };
    for (const instanceId of [INSTANCE, OTHER_INSTANCE]) {
      await books.addFinalOrg({ ...february, instanceId });
    }
    const failure = `if new.instance_id = '${OTHER_INSTANCE}' then raise exception 'no space left' using errcode = '53100';
      end if; return new;`;
    await books.withTrigger('statements', failure, async () => {
      const ended = await run('close', '--month', '2026-02', '--json');
      const closed = { instanceId: INSTANCE, outcome: 'closed', kind: 'closing', lineCount: 3 };
      const failed = { instanceId: OTHER_INSTANCE, outcome: 'failed', error: { code: 'database_failed' } };
      expect([ended.code, jsonOf(ended)]).toMatchObject([1, { month: '2026-02', instances: [closed, failed] }]);
    });
    const { code, stdout } = await run('close', '--month', '2026-02');
    expect(code).toBe(2);
    expect(stdout).toContain(`Instance ${INSTANCE}: 2026-02 of instance ${INSTANCE} was already closed at`);
    expect(stdout).toContain(`losant-usage close --month 2026-02 --instance ${INSTANCE} --adjust`);
    expect(stdout).toContain(`Closed: 2026-02 of instance ${OTHER_INSTANCE}, 3 lines.`);
  });
});

describe('a month of many organizations', () => {
  const day = '2026-09-30';
  const isMissing = sql`org_id < '1'`;
  let stdout: string;

  beforeAll(async () => {
    await books.createOrgs(101);
    await books.asProgram(
      sql`update losant_usage.organizations set created_on = ${day} where ${isMissing}`,
      sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
        select org_id, 'device_counts', created_on, created_on, created_on from losant_usage.organizations
        where ${isMissing}`,
    );
    await createExpectedCells(books.writer());
    await books.addCells({ orgId: await books.addOrg({ from: day }), from: day });
    ({ stdout } = await close('--month', '2026-09', '--dry-run'));
  });

  test('is printed with the first lines and the number of all others, which --json has', async () => {
    expect(stdout).toContain('\n  … and 209 more (use --json for all)\n');
    const { lines, lineCount } = await closeJson('--month', '2026-09', '--dry-run');
    expect([lines?.length, lineCount]).toEqual([309, 309]);
    expect(new Set(lines?.map(({ orgId }) => orgId)).size).toBe(103);
  });

  test('has one command for a hundred organizations with the same cause, which works as it is printed', async () => {
    const orgIds = await books.list(sql`select org_id from losant_usage.organizations where ${isMissing} order by 1`);
    const scopesOf = (pattern: RegExp) =>
      Array.from(stdout.matchAll(pattern), ([, ids = '']) => ids.split(',')).filter((ids) => ids[0] !== acme);
    for (const scopes of [
      scopesOf(/backfill --org (\S+) --from 2026-09-30 --to 2026-09-30\n/g),
      scopesOf(/waive --org (\S+) --day 2026-09-30..2026-09-30 --stream device_counts --reason TEXT\n/g),
    ]) {
      expect(scopes.map((ids) => ids.length)).toEqual([100, 1]);
      expect(scopes.flat()).toEqual(orgIds);
    }
    const [command = ''] = /waive --org \S+,.*(?= --reason)/.exec(stdout) ?? [];
    const waived = await run(...command.split(' '), '--reason', 'agreed', '--json');
    expect([waived.code, jsonOf<{ cells: readonly object[] }>(waived).cells.length]).toEqual([0, 100]);
  });
});

test('the list of months says what settles by itself, and what was loaded in part', async () => {
  const days = { from: '2026-06-10', to: '2026-06-11' };
  const orgId = await books.addOrg(days);
  await books.addCells({ orgId, ...days, standing: 'stored' });
  const june = async () => / 2026-06 +(.*\S) *\n/.exec((await close()).stdout)?.[1]?.replaceAll(/ {2,}/g, ' | ');
  const command = `losant-usage close --month 2026-06 --instance ${INSTANCE} --dry-run`;
  expect(await june()).toBe(`blocked | not final: 1 organization | ${command}`);
  await books.asProgram(sql`update losant_usage.coverage set next_read_at = now() where org_id = ${orgId}`);
  expect(await june()).toBe('settling | not final; the next runs resolve it');
  const settling = await close('--month', '2026-06', '--dry-run');
  expect(settling.code).toBe(3);
  expect(settling.stdout).toMatch(/^Still settling, not closed: 2026-06 of /);
  const settlingJson = await closeJson('--month', '2026-06');
  expect(settlingJson).toMatchObject({ code: 3, outcome: 'refused', blockers: [{ state: 'settling' }] });
  await books.asProgram(sql`update losant_usage.instances set list_problem = 'page 2 failed'`);
  expect((await close('--month', '2026-06')).stdout).toMatch(/^Blocked, not closed: 2026-06 of /);
  await books.asProgram(sql`update losant_usage.instances set list_problem = null, collected_from = '2026-06-10'`);
  await books.setOrg(orgId, sql`created_on = '2026-06-09'`);
  // What was never loaded stays so, whatever the next runs do.
  expect(await june()).toBe('settling | not final; the next runs resolve it; not loaded from its first day on');
  await books.setStanding(orgId, '2026-06-10', 'final');
  await books.setStanding(orgId, '2026-06-11', 'final');
  expect(await june()).toBe(`partly_collected | not loaded from its first day on | ${command}`);
});

test('a dry run that accepts blockers says how to close the month, and not that it was closed', async () => {
  const orgId = await books.addFinalOrg({ from: '2026-04-10', to: '2026-04-11' });
  await books.setStanding(orgId, '2026-04-11', 'in_doubt');
  const { blockersHash } = await closeJson('--month', '2026-04');
  const acceptance = ['--accept-blockers', blockersHash ?? '', '--reason', 'agreed'];
  const { code, stdout } = await close('--month', '2026-04', '--dry-run', ...acceptance);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Dry run, nothing saved; would be closed: 2026-04 of /);
  expect(stdout).not.toContain('Closed despite');
  const command = `losant-usage close --month 2026-04 --instance ${INSTANCE} ${acceptance.slice(0, 2).join(' ')}`;
  expect(stdout).toContain(`\nTo close it: ${command} --reason TEXT\n`);
  await close('--month', '2026-04', ...acceptance);
  await books.waive(orgId, '2026-04-11');
  const adjusted = await close('--month', '2026-04', '--adjust', '--dry-run');
  expect(adjusted.stdout).toMatch(/ devices_created +2026-04-11 +- +4 +waived .* UTC: agreed\n/);
  await books.setTime(new Date(books.nowMs + 1_000).toISOString());
  await books.restate(orgId, '2026-04-11', { old: { devices_created: 4 }, numbers: { devices_created: 6 } });
  const restated = await close('--month', '2026-04', '--adjust', '--dry-run');
  expect(restated.stdout).toMatch(
    / devices_created +2026-04-11 +- +6 +restated .* UTC, revision 2, run [-\w]+, waived: agreed\n/,
  );
});

test('a blocked adjustment asks to accept blockers only if something can be billed', async () => {
  const days = { from: '2026-05-10', to: '2026-05-11' };
  const [orgId, other] = [await books.addFinalOrg(days), await books.addFinalOrg(days)];
  await books.close('2026-05');
  await books.asProgram(sql`update losant_usage.instances set list_problem = 'page 2 failed'`);
  const adjust = ['--month', '2026-05', '--adjust'];
  const unchanged = await close(...adjust);
  expect(unchanged.code).toBe(0);
  expect(unchanged.stdout).toMatch(/^Nothing has changed since the last statement: 2026-05 of .*\n$/);
  await books.setStanding(orgId, '2026-05-11', 'in_doubt');
  const waiting = await close(...adjust);
  expect(waiting.code).toBe(3);
  expect(waiting.stdout).toMatch(/^The differences cannot be billed yet .*: 2026-05 of /);
  expect(waiting.stdout).toContain('To resolve:');
  expect((await close()).stdout).toMatch(
    / 2026-05 +closed +1 statement, closed .* UTC by \w+; 2 lines not settled again yet /,
  );
  expect(waiting.stdout).not.toMatch(/--accept-blockers|Closed despite/);
  const accepting = [...adjust, '--accept-blockers', (await closeJson(...adjust)).blockersHash ?? ''];
  const accepted = await close(...accepting, '--reason', 'agreed');
  expect(accepted).toMatchObject({ code: 3, stdout: waiting.stdout });
  await books.fill(other, '2026-05-10', 'device_counts', { devices_created: 9, devices_deleted: 0, devices_total: 20 });
  expect(await closeJson(...adjust)).toMatchObject({ code: 3, outcome: 'refused' });
});
