/** Several processes at once on one database: any mix ends in the same numbers. */
import { describe, expect, test } from 'vitest';
import { differences } from '../campaigns/snapshot.ts';
import { openStage, SOON } from '../campaigns/stage.ts';
import { daysAgo } from '../support/days.ts';
import { portOf, startWire, through } from '../support/wire.ts';

const [FROM, MIDDLE, TO] = [daysAgo(6), daysAgo(3), daysAgo(1)];
const backfill = (from: string, to: string) => ['backfill', '--from', from, '--to', to, '--force'];

const open = () => openStage({ orgs: 5, seed: 'several' });

describe('several processes', { timeout: 180_000 }, () => {
  test('a run and three backfills that overlap, all at once, end as if they had come one by one', async () => {
    await using stage = await open();
    const expected = await stage.alone(['run'], backfill(FROM, TO));
    // The promise that a backfill widens must be there before: otherwise it depends on who comes first.
    expect(await stage.run(['run'])).toMatchObject({ code: 0 });
    const commands = [['run'], backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, MIDDLE)];
    const [run, ...backfills] = await Promise.all(commands.map((args) => stage.run(args)));
    expect(backfills.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(['ok', 'ok', 'ok']);
    // To a run that ends first, the days that a backfill has promised and not read yet are missing.
    expect([0, 3]).toContain(run?.code);
    expect(differences(expected, await stage.snapshot())).toEqual([]);
  });

  test('restated days that four processes read again at once get one revision each', async () => {
    await using stage = await open();
    expect(await stage.run(['run'])).toMatchObject({ code: 0 });
    expect(await stage.run(backfill(FROM, TO))).toMatchObject({ code: 0 });
    const { orgs } = (await stage.platform.control('orgs')) as { orgs: { orgId: string }[] };
    for (const { orgId } of orgs) await stage.platform.control('restate', { orgId, day: MIDDLE });
    const again = [backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, TO), ['run', '--date', MIDDLE]];
    const ends = await Promise.all(again.map((args) => stage.run(args)));
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const changes = `select stream, count(distinct org_id)::integer as orgs, min(revision), max(revision)
      from losant_usage.revisions group by stream order by stream`;
    expect(await stage.sql(changes)).toEqual([
      { stream: 'device_counts', orgs: 5, min: 2, max: 2 },
      { stream: 'notebook_minutes', orgs: 5, min: 2, max: 2 },
      { stream: 'payload_sources', orgs: 5, min: 2, max: 2 },
      { stream: 'payload_totals', orgs: 5, min: 2, max: 2 },
    ]);
  });

  test('a backfill is not complete while a number is in doubt that another process put there meanwhile', async () => {
    await using stage = await open();
    await using wire = await startWire(portOf(stage.database.url));
    expect(await stage.run(backfill(MIDDLE, TO))).toMatchObject({ code: 0 });
    expect(await stage.run(['run'])).toMatchObject({ code: 0 });
    // It has begun, and not looked yet for what is due.
    const held = new Promise<void>((resolve) => {
      wire.onSent = (_, bytes) => {
        if (!bytes.includes('insert into "losant_usage"."instances"')) return 'pass';
        wire.onSent = () => 'pass';
        resolve();
        return 'freeze';
      };
    });
    const first = stage.start(['backfill', '--from', MIDDLE, '--to', TO], {
      url: through(wire, stage.database.url),
    });
    await held;
    const { orgs } = (await stage.platform.control('orgs')) as { orgs: { orgId: string }[] };
    await stage.platform.control('omit', { orgId: orgs[0]?.orgId, day: TO, action: 'deviceCounts' });
    expect(await stage.run(backfill(TO, TO))).toMatchObject({ code: 3 });
    wire.thaw();
    const { code, stdout } = await first.ended;
    expect({ code, failures: (JSON.parse(stdout) as { failures: unknown[] }).failures }).toEqual({
      code: 3,
      failures: [],
    });
    expect(await stage.sql('select stream, standing from losant_usage.coverage_gaps')).toEqual([
      { stream: 'device_counts', standing: 'in_doubt' },
    ]);
  });

  test('of two runs at once one works, and the other ends with exit code 4 or waits for its turn', async () => {
    await using stage = await open();
    await stage.platform.control('config', { latencyMs: 120 });
    const first = stage.start(['run'], { more: { REQUEST_CONCURRENCY: '1' } });
    await expect.poll(() => stage.statuses(), SOON).toEqual(['running']);
    const refused = await stage.run(['run']);
    expect(refused.code).toBe(4);
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'lease_held' } });
    const waited = await stage.run(['run', '--wait', '30']);
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(waited).toMatchObject({ code: 0 });
    expect(JSON.parse(waited.stdout)).toMatchObject({ runId: null, cells: { planned: 0 } });
  });
});
