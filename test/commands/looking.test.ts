/** A loaded instance, inspected and waived in part. Each test builds on the last. */
import { beforeAll, expect, it } from 'vitest';
import type { DayRange } from '../../src/usage/day.ts';
import { orgIdsOf, useInstallation } from '../e2e/installation.ts';
import { loseNumbers } from '../support/by-hand.ts';
import { asOwner, asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, resultOf, runProgram } from '../support/program.ts';
import { containing, matching } from '../support/texts.ts';

const day = daysAgo(1);
const earlier = daysAgo(2);
const installation = useInstallation({ orgs: 2, hostile: false });
let orgId: string;
let runId: string;

beforeAll(async () => {
  [orgId = ''] = await orgIdsOf(installation.platform);
  runId = jsonOf(await installation.run(['run', '--json'])).runId ?? '';
});

/** Runs a command with no setting but the database's. */
const look = (...args: string[]) => runProgram(args, { DATABASE_URL: installation.store.url });

const write = (statement: string) => asWriter(installation.store.url, statement);

const explain = (...args: string[]) =>
  look('explain', '--org', orgId, '--day', day, '--stream', 'device_counts', ...args);

const REASON = 'Acme agreed on 2026-11-20';
const waive = (days: string) => look('waive', '--org', orgId, '--day', days, '--reason', REASON, '--json');

const standings = async () =>
  await installation.store.query(`select usage_date::text as day, standing, detail from losant_usage.cells
     where org_id = '${orgId}' and stream = 'device_counts' order by usage_date`);

it.each(['status', 'reconcile', 'digest'])('%s takes today from the database, whose clock decides', async (command) => {
  const env = { DATABASE_URL: installation.store.url };
  const { stdout } = await runProgram([command], env);
  const ahead = { hostNow: () => Date.now() + 3 * 86_400_000 };
  expect((await runProgram([command], env, ahead)).stdout).toBe(stdout);
});

it('status shows how complete each stream is, and the last runs', async () => {
  const ended = await look('status', '--json');
  expect(ended.code).toBe(0);
  const reach = { orgs: 2, orgsComplete: 2, lastDay: day, completeTo: day, gaps: 0 };
  const streams = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'];
  const counts = { cells: { planned: 8, failed: 0 } };
  expect(jsonOf(ended)).toMatchObject({
    gaps: 0,
    instance: { leaseAcquiredAt: null, neverReadSince: null, organizations: 2 },
    streams: streams.map((stream) => ({ ...reach, stream })),
    runs: [{ kind: 'manual', status: 'complete', from: day, to: day, counts }],
  });
  const { stdout } = await look('status');
  expect(stdout.split('\n').slice(0, 3)).toEqual([
    `Yesterday, ${day}, is complete.`,
    '  stream            organizations  last day    complete to  gaps',
    `  device_counts                 2  ${day}  ${day}   none`,
  ]);
  expect(stdout).toMatch(/\n {2}last runs:\n {4}.* UTC {2}\S+ {2}\S+ s {2}manual {2}complete {2}8 cells\n$/);
});

it('status exits 3 while organizations may be missing, and reports that', async () => {
  const setProblem = (problem: string) => write(`update losant_usage.instance set list_problem = ${problem}`);
  await setProblem(`'page 2 did not come'`);
  const ended = await look('status');
  await setProblem('null');
  const problem = 'organizations may be missing, because the last list was incomplete: page 2 did not come';
  expect(ended).toMatchObject({ code: 3, stdout: containing(problem) });
});

it('reconcile compares the 30 days before --to, and the days since --from', async () => {
  const rangeOf = async (...args: string[]) => {
    const { from, to } = jsonOf<DayRange>(await look('reconcile', '--json', ...args));
    return { from, to };
  };
  expect(await rangeOf()).toEqual({ from: daysAgo(31), to: day });
  expect(await rangeOf('--to', daysAgo(10))).toEqual({ from: daysAgo(40), to: daysAgo(10) });
  expect(await rangeOf('--from', daysAgo(3))).toEqual({ from: daysAgo(3), to: day });
});

it('reconcile shows a difference as soon as both sides are stored, and exits 3', async () => {
  expect(await look('reconcile')).toMatchObject({ code: 0, stdout: containing(' 0 differences, ') });
  const change = (difference: number) =>
    write(`update losant_usage.instance_totals set losant_total = losant_total + ${difference}
      where metric = 'devices_total'`);
  await change(1);
  const ended = await look('reconcile', '--json');
  const { differences, rows } = jsonOf<{ differences: number; rows: readonly object[] }>(ended);
  const { stdout } = await look('reconcile');
  await change(-1);
  expect([ended.code, differences]).toEqual([3, 1]);
  const difference = { day, metric: 'devices_total', outcome: 'difference', difference: '-1', isSettled: false };
  expect(rows).toContainEqual(expect.objectContaining(difference));
  expect(stdout).toMatch(/devices_total {2}losant .* -1 {2}difference, not settled yet\n/);
});

it('explain shows the response and the run that a number comes from', async () => {
  const counts = `select devices_created, devices_deleted, devices_total
    from losant_usage.daily_usage where org_id = '${orgId}'`;
  const [stored] = await installation.store.query(counts);
  const quantities = Object.entries(stored ?? {});
  const cell = {
    stream: 'device_counts',
    standing: 'stored',
    ledger: { isReported: true, revision: 1, reason: null, runId, runKind: 'manual' },
    track: { stream: 'device_counts', from: day, to: null },
    numbers: quantities.map(([name, value]) => ({ metric: name, quantity: Number(value) })),
    changes: [],
    quarantine: [],
    advice: { text: matching(/^next read .*\d\d:\d\d UTC \(in .+\)$/), commands: [] },
  };
  const explained = { org: { orgId, deletedOn: null }, day, cells: [cell] };
  expect(await resultOf(explain('--json'))).toMatchObject([0, explained]);
  const { stdout } = await explain();
  expect(stdout).toContain('device_counts: stored: stored, to be read again\n');
  expect(stdout).toMatch(/\n {2}devices_total +[\d,]+\n/);
  expect(stdout).toMatch(new RegExp(`\n {2}response: sha256 [0-9a-f]{64}, run ${runId}\n`));
});

it('explain shows the old and the new number of a change as it shows numbers', async () => {
  await installation.platform.control('restate', { orgId, day, counter: 'payloadCounts' });
  await installation.run(['run', '--day', day]);
  const [row] = await installation.store.query(`select concat_ws(' → ', to_char(old_quantity, 'FM999,999,999,999,999'),
       to_char(new_quantity, 'FM999,999,999,999,999')) as change
     from losant_usage.restatements where metric = 'payload_all_bytes'`);
  const change = String(row?.['change']);
  expect(change).toMatch(/^\d{1,3}(,\d{3})+ → \d{1,3}(,\d{3})+$/);
  const { stdout } = await look('explain', '--org', orgId, '--day', day, '--stream', 'payload_totals');
  expect(stdout).toContain(`UTC: payload_all_bytes: ${change}\n`);
});

it.each([
  ['a stored cell', `${day}..${day}`, `every cell of organization $ORG on ${day} is fine or will be read again`],
  ['a day that is not expected', earlier, `no cells of organization $ORG are expected on ${earlier}`],
  ['a day that has not ended', daysAgo(0), `--day ${daysAgo(0)} has not ended yet (UTC)`],
])('waive rejects %s, and changes nothing', async (_what, days, message) => {
  const error = { message: containing(message.replace('$ORG', orgId)) };
  expect(await resultOf(waive(days))).toMatchObject([2, { error }]);
  expect(await standings()).toEqual([{ day, standing: 'stored', detail: null }]);
});

it('status, gaps and explain show a reader what is missing, and the next commands', async () => {
  await installation.run(['backfill', '--from', earlier, '--to', earlier]);
  await asWriter(installation.store.url, loseNumbers('device_counts', orgId));
  const status = await look('status');
  expect(status).toMatchObject({ code: 3, stdout: containing(`2 cells of 1 organization since ${earlier}`) });
  expect(status.stdout).toContain('  To list the gaps with their reasons: losant-usage gaps\n');

  const gap = { orgId, stream: 'device_counts', standing: 'missing', reason: 'server_error' };
  const rest = { detail: 'HTTP 502', nextReadAt: expect.any(String) as string };
  const gaps = [day, earlier].map((each) => ({ ...gap, day: each, ...rest }));
  expect(await resultOf(look('gaps', '--json'))).toEqual([3, gaps]);
  const list = containing('missing: server_error, HTTP 502 (2 cells)\n');
  expect(await look('gaps')).toMatchObject({ code: 3, stdout: list });

  const { stdout } = await explain();
  expect(stdout).toContain('device_counts: missing: server_error, HTTP 502\n');
  expect(stdout).toContain('\n  the next run reads it\n');
  const cell = `--org ${orgId} --stream device_counts`;
  expect(stdout).toContain(`  to retry now:  losant-usage backfill --from ${day} --to ${day} ${cell} --force\n`);
  expect(stdout).toContain(`losant-usage waive --day ${day} ${cell} --reason TEXT\n`);
});

const NEVER_TRACKED = 'payload_hours: not expected\n  never tracked; LOSANT_ORG_IDS and STREAMS say what is tracked\n';

it('explain tells of a stored cell that its last read failed, with the commands that help', async () => {
  const cell = `org_id = '${orgId}' and usage_date = '${day}' and stream = 'payload_totals'`;
  const setFailedReads = (count: number) =>
    write(`update losant_usage.coverage set failed_reads = ${count} where ${cell}`);
  await setFailedReads(2);
  const { stdout } = await look('explain', '--org', orgId, '--day', day, '--stream', 'payload_totals');
  await setFailedReads(0);
  const scope = `--org ${orgId} --stream payload_totals`;
  const retry = `to retry now:  losant-usage backfill --from ${day} --to ${day} ${scope} --force`;
  const waiver = `to waive it:  losant-usage waive --day ${day} ${scope} --reason TEXT`;
  expect(stdout).toContain('\n  failed reads: 2 in a row\n');
  expect(stdout).toMatch(new RegExp(`\n  the last read failed; next read .*\n  ${retry}\n  ${waiver}\n`));
});

it('explain rejects an organization that is not in the database', async () => {
  const unknown = '0'.repeat(24);
  const message = containing(`--org ${unknown}: not in this database`);
  expect(await look('explain', '--org', unknown, '--day', day)).toMatchObject({ code: 2, stderr: message });
});

it('explain tells on which days a stream is tracked if a day is not expected', async () => {
  const { stdout } = await look('explain', '--org', orgId, '--day', daysAgo(20));
  const scope = `--from ${daysAgo(20)} --to ${daysAgo(20)} --org ${orgId} --stream device_counts`;
  const untracked = `  outside the tracked days: since ${earlier}\n  to load it:  losant-usage backfill ${scope}\n`;
  expect(stdout).toContain(`device_counts: not expected\n${untracked}`);
  expect(stdout).toContain(NEVER_TRACKED);
  expect(stdout).not.toContain('--stream payload_hours');
});

it('explain promises a read of today only for what is tracked', async () => {
  const { stdout } = await look('explain', '--org', orgId, '--day', daysAgo(0));
  const later = '  the day has not ended yet (UTC); it will be read afterward\n';
  expect(stdout).toContain(`device_counts: not expected\n${later}`);
  expect(stdout).toContain(NEVER_TRACKED);
});

it('explain offers no backfill of what can no longer be read', async () => {
  const outside = `  outside the tracked days: since ${earlier}; no longer readable\n`;
  const setDeletion = (deleted: string) =>
    write(`update losant_usage.organizations set deleted_on = ${deleted} where org_id = '${orgId}'`);
  const explainDay = (ago: number) =>
    look('explain', '--org', orgId, '--day', daysAgo(ago), '--stream', 'device_counts');
  const pastHorizon = await explainDay(100);
  await setDeletion(`'${day}'`);
  const deleted = await explainDay(20);
  await setDeletion('null');
  for (const { stdout } of [pastHorizon, deleted]) {
    expect(stdout).toContain(outside);
    expect(stdout).not.toContain('losant-usage backfill');
  }
});

it('explain offers no backfill of a day before the organization was created', async () => {
  const creation = `select created_on::text as day from losant_usage.organizations where org_id = '${orgId}'`;
  const [org] = await installation.store.query(creation);
  const createOn = (created: string) =>
    write(`update losant_usage.organizations set created_on = '${created}' where org_id = '${orgId}'`);
  await createOn(daysAgo(19));
  const { stdout } = await look('explain', '--org', orgId, '--day', daysAgo(20), '--stream', 'device_counts');
  await createOn(String(org?.['day']));
  const reason = `since ${earlier}; the organization was created on ${daysAgo(19)}`;
  expect(stdout).toContain(`  outside the tracked days: ${reason}\n`);
  expect(stdout).not.toContain('losant-usage backfill');
});

it('waive applies to missing cells only, and the next good read lifts it', async () => {
  const cells = [earlier, day].map((each) => ({ orgId, stream: 'device_counts', day: each }));
  expect(await resultOf(waive(`${earlier}..${day}`))).toEqual([0, { reason: REASON, isZeroed: false, cells }]);
  const waived = { standing: 'waived', detail: REASON };
  expect(await standings()).toEqual([earlier, day].map((each) => ({ day: each, ...waived })));
  expect((await look('gaps')).code).toBe(0);
  expect((await explain()).stdout).toContain('\n  nothing to do; a good read lifts the waiver\n');
  expect(await installation.run(['run', '--day', day])).toMatchObject({ code: 0 });
  const stored = { day, standing: 'stored', detail: null };
  expect(await standings()).toEqual([{ day: earlier, ...waived }, stored]);
  expect((await explain()).stdout).toMatch(new RegExp(`\n  waived by \\w+, [^,]* UTC, lifted [^,]* UTC: ${REASON}\n`));
});

it('gaps lists unavailable and waived cells with --all, and does not exit 3 for them', async () => {
  await write(`update losant_usage.coverage set standing = 'unavailable', next_read_at = null, reason = 'past_horizon'
    where org_id = '${orgId}' and stream = 'payload_totals'`);
  expect(await look('gaps', '--json')).toMatchObject({ code: 0, stdout: '[]\n' });
  const all = [
    { day, stream: 'payload_totals', standing: 'unavailable', reason: 'past_horizon', nextReadAt: null },
    { day: earlier, stream: 'device_counts', standing: 'waived' },
    { day: earlier, stream: 'payload_totals', standing: 'unavailable' },
  ];
  expect(await resultOf(look('gaps', '--all', '--json'))).toMatchObject([0, all]);
  const { stdout } = await look('gaps', '--all');
  expect(stdout).toMatch(
    /^No gaps\.\n\n3 cells of 1 organization are waived or unavailable\.\n\nunavailable: past_horizon /,
  );
  expect(stdout).toContain(`\nwaived: ${REASON} (1 cell)\n  ${earlier}  device_counts    ${orgId}  `);
  // A waived cell is no example.
  expect(stdout).toMatch(/ --stream payload_totals\n$/);
  expect((await look('status')).stdout).toContain(`Yesterday, ${day}, is complete: 1 unavailable.`);
});

it('status counts the final restatements of the last 30 days', async () => {
  // When a revision was made is set by the database.
  await asOwner(
    installation.store.url,
    `insert into losant_usage.revisions
      (org_id, stream, usage_date, revision, old, new, was_final, run_id, changed_at)
    select '${orgId}', 'device_counts', '${daysAgo(60)}', 2, '{"devices_total": 1}', '{"devices_total": 2}',
      true, '${runId}', now() - days * interval '1 day'
    from unnest(array[1, 29, 31]) as days`,
  );
  const counts = { finalRestatements: 3, finalRestatements30Days: 2 };
  expect(jsonOf(await look('status', '--json'))).toMatchObject({ instance: counts });
  expect((await look('status')).stdout).toContain('\n  2 final cells restated in the last 30 days ');
});
