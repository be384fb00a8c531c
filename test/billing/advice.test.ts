/** The remedy of each blocker, followed literally until the blocker is gone. */
import { expect, test } from 'vitest';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';

let played: TimedInstallation;

/** Returns the commands against the blockers of a month, by cause. */
async function readRemedies(month: string): Promise<Record<string, string[]>> {
  const rows = await played.query(`select cause, remedy from losant_usage.month_blockers
    where month = '${month}-01' order by cause, org_id`);
  const remedies: Record<string, string[]> = {};
  for (const { cause, remedy } of rows) {
    remedies[String(cause)] = [...(remedies[String(cause)] ?? []), ...String(remedy).split('\n')];
  }
  return remedies;
}

/** Runs the commands as a shell would parse them, with a reason in place of its placeholder. */
async function follow(month: string, cause: string): Promise<void> {
  const { [cause]: commands = [] } = await readRemedies(month);
  expect([cause, commands.length > 0]).toEqual([cause, true]);
  for (const command of commands) {
    const [program, ...args] = command.match(/"[^"]*"|\S+/g) ?? [];
    expect([command, program]).toEqual([command, 'losant-usage']);
    const { stderr, code } = await played.run(
      args.map((each) => (each === 'TEXT' ? 'the customer accepts it' : each)),
    );
    expect([command, code, code === 2 ? stderr : '']).toEqual([command, expect.any(Number), '']);
    expect([0, 3]).toContain(code);
  }
  expect(Object.keys(await readRemedies(month))).not.toContain(cause);
}

// Guarantee (Billing): The commands in the remedy of a blocker resolve it.
test('each blocker is resolved by its remedy', { timeout: 600_000 }, async () => {
  played = await createTimedInstallation('2026-11-01T10:30:00Z', { orgs: 2 });
  const { platform, run, orgIds, moveTo } = played;
  const [first = '', second = ''] = orgIds;
  const omit = async (orgId: string, day: string, isOmitted: boolean) =>
    await platform.control('omit', { orgId, day, action: 'deviceCounts', omit: isOmitted });
  const backfill = async (...args: readonly string[]) =>
    await run(['backfill', '--from', '2026-10-05', '--to', '2026-10-31', ...args]);

  await backfill();
  expect(Object.keys(await readRemedies('2026-10'))).toEqual(['not_final', 'not_fully_tracked']);
  await follow('2026-10', 'not_fully_tracked');
  expect(await readRemedies('2026-11')).toMatchObject({ not_over: ['wait until the month has ended'] });
  await moveTo('2026-11-05T10:30:00Z');
  await follow('2026-10', 'not_final');
  expect(await readRemedies('2026-10')).toEqual({});

  await platform.control('config', { list: { emptyPages: [0] } });
  expect((await run(['run'])).code).toBe(3);
  await platform.control('config', { list: {} });
  await follow('2026-10', 'list_incomplete');

  await platform.control('orgs', { id: 'a'.repeat(24), creationDate: '2026-10-20T08:00:00Z', size: 0.5 });
  await omit('a'.repeat(24), '2026-10-25', true);
  await run(['run']);
  await backfill();
  await omit('a'.repeat(24), '2026-10-25', false);
  await follow('2026-10', 'missing');
  await run(['run']);

  await omit(second, '2026-10-12', true);
  await backfill('--org', second, '--force');
  await follow('2026-10', 'in_doubt');

  const resetTotal = `update losant_usage.instance_totals set quantity = null, last_read_at = null
    where usage_date = '2026-10-14'`;
  await asWriter(played.store.url, asProgram(resetTotal));
  await platform.control('restate', { orgId: first, day: '2026-10-14' });
  await run(['run']);
  await follow('2026-10', 'not_reconciled');

  await omit(first, '2026-11-02', true);
  await moveTo('2027-02-05T10:30:00Z');
  expect(Object.keys(await readRemedies('2026-11'))).not.toContain('not_over');
  await run(['run']);
  await follow('2026-11', 'unavailable');
});
