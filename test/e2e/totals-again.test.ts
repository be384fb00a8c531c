/** Losant's own totals where numbers were read again, where totals are not there, and of months long ago. */
import { describe, expect, test, vi } from 'vitest';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { COUNTERS, type Played, runWhole, usePlayed } from './played.ts';

vi.setConfig({ testTimeout: 120_000 });

const open = usePlayed();

interface Reconciled {
  readonly differences: number;
  readonly rows: readonly {
    readonly scope: string;
    readonly day: string | null;
    readonly month: string;
    readonly orgId: string | null;
    readonly metric: string;
    readonly outcome: string;
    readonly reason: string | null;
  }[];
  readonly monthsNotRead: readonly { readonly month: string; readonly reason: string }[];
}

describe("Losant's own totals", () => {
  /** Numbers from the middle of October on, of which those of October are final and compared. */
  async function openCompared(): Promise<Played> {
    const played = await open('2026-11-24T10:30:00Z', { orgs: 2 });
    await runWhole(played);
    expect((await played.run(['backfill', '--from', '2026-10-01'])).code).toBe(0);
    await runWhole(played);
    return played;
  }

  const reconcile = async (played: Played, ...args: string[]) =>
    jsonOf<Reconciled>(await played.run(['reconcile', '--json', ...args]));

  test('are read again with days and months that are read again, also of one organization alone', async () => {
    const played = await openCompared();
    const { platform, run } = played;
    const [orgId = ''] = played.orgIds;
    const october = ['--from', '2026-10-01', '--to', '2026-10-31'];
    for (const again of [
      ['backfill', ...october, '--force'],
      ['run', '--date', '2026-10-15', '--org', orgId],
    ]) {
      await platform.control('restate', { orgId, day: '2026-10-15' });
      expect((await run(again)).code).toBe(0);
      const { differences, rows } = await reconcile(played, ...october, '--verbose');
      expect(differences).toBe(0);
      expect(rows.filter(({ outcome }) => outcome !== 'equal')).toEqual([]);
      expect(rows.filter(({ scope }) => scope === 'instance_day')).toHaveLength(31 * 12);
    }
  });

  test('that are not there are named and not equal: no summary of an organization, a column left out, a month', async () => {
    const played = await openCompared();
    const { platform, run, query } = played;
    const [orgId = ''] = played.orgIds;
    await query(
      `delete from losant_usage.monthly_summaries where resource_id = '${orgId}' and month = '2026-10-01'`,
    );
    await query(`update losant_usage.instance_totals set quantity = null
      where metric = 'notebook_minutes' and usage_date = '2026-10-15'`);
    const october = ['--from', '2026-10-01', '--to', '2026-10-31'];
    const { rows } = await reconcile(played, ...october);
    expect(rows).toMatchObject([
      {
        scope: 'instance_day',
        day: '2026-10-15',
        metric: 'notebook_minutes',
        outcome: 'not_compared',
        reason: 'left_out',
      },
      ...[
        'devices_total',
        'notebook_minutes',
        'payload_billable_count',
        'payload_all_count',
        'payload_all_bytes',
      ].map((metric) => ({
        scope: 'org_month',
        orgId,
        metric,
        outcome: 'not_compared',
        reason: 'no_summary',
      })),
    ]);
    const shown = (await run(['reconcile', ...october])).stdout;
    expect(shown).toContain('not compared: Losant left it out');
    expect(shown).toContain('not compared: Losant has no summary of it');
    // Of a month whose summaries are refused nothing is compared, which must not look like agreement.
    await query(`delete from losant_usage.monthly_summaries; delete from losant_usage.control_total_reads`);
    await platform.control('tokens', {
      token: 'narrow',
      scopes: [
        ...['instance.get', 'instanceOrgs.get', 'instanceOrg.get'],
        ...['instanceOrg', 'instance'].flatMap((of) => COUNTERS.map((counter) => `${of}.${counter}`)),
      ],
    });
    await runWhole(played, { LOSANT_API_TOKEN: 'narrow' });
    const refused = await reconcile(played, ...october);
    expect(refused.monthsNotRead).toMatchObject([{ month: '2026-10-01', reason: 'forbidden' }]);
    expect((await run(['reconcile', ...october])).stdout).toContain(
      'Months that were not compared in full: 2026-10 (forbidden).',
    );
    const worker = await played.startWorker({ LOSANT_API_TOKEN: 'narrow' });
    let page = '';
    await until('the totals are compared', async () => {
      page = (await worker.get('/totals?month=2026-10')).text;
      return page.includes('Not compared in full');
    });
    expect(page).toMatch(
      /Not compared in full: the summaries of October 2026 of .* \(<code>forbidden<\/code>\)/,
    );
  });

  test('that contradict an open month stay visible whatever its age', async () => {
    const played = await open('2026-11-24T10:30:00Z', { orgs: 1 });
    const { platform, run } = played;
    await platform.control('config', { detailDays: 400 });
    const env = { HORIZON_DAYS: '400', STREAMS: 'device_counts' };
    await runWhole(played, env);
    await platform.control('config', {
      bias: [{ counter: 'deviceCounts', day: '2026-05-20', by: 1 }],
    });
    expect((await run(['backfill', '--from', '2026-05-20'], env)).code).toBe(0);
    await runWhole(played, env);
    const ended = await run(['reconcile', '--json'], env);
    expect(ended.code).toBe(3);
    expect(jsonOf<Reconciled>(ended).rows).toContainEqual(
      expect.objectContaining({ day: '2026-05-20', outcome: 'differs' }),
    );
    const worker = await played.startWorker(env);
    const { instanceId } = platform;
    const series = `losant_usage_reconciliation_differences{instance_id="${instanceId}",scope="instance_day"}`;
    await until('the metric has them', async () => ((await worker.metric(series)) ?? 0) > 0);
    expect((await worker.get('/')).text).toContain('href="/totals?month=2026-05"');
    expect((await worker.get('/totals?month=2026-05')).text).toContain('differs');
  });
});
