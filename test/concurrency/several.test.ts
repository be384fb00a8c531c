/** Several processes at once on one database: they take turns, and any mix ends in the same numbers. */
import { describe, expect, it } from 'vitest';
import { type Export, openExport, orgIdsOf } from '../e2e/export.ts';
import { readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { portOf, startWire, through } from '../support/wire.ts';

const [FROM, MIDDLE, TO] = [daysAgo(6), daysAgo(3), daysAgo(1)];
const backfill = (from: string, to: string) => ['backfill', '--json', '--from', from, '--to', to, '--force'];

async function open(): Promise<Export & AsyncDisposable> {
  const exported = await openExport({ orgs: 5, seed: 'several', hostile: false });
  return { ...exported, [Symbol.asyncDispose]: () => exported.close() };
}

/** Runs all of them at once, and expects each to end well. */
async function runAll({ run }: Export, commands: readonly (readonly string[])[]): Promise<void> {
  const ends = await Promise.all(commands.map((args) => run(args)));
  expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(commands.map(() => 'ok'));
}

describe('several processes', { timeout: 180_000 }, () => {
  it('of which one is a run and three are backfills that overlap hold exactly what is true', async () => {
    await using exported = await open();
    const commands = [backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, MIDDLE)];
    await runAll(exported, [['run', '--wait', '90'], ...commands]);
    const { platform, place } = exported;
    expect(await readStored(place)).toEqual(await readTruth(platform, FROM, TO));
    expect(await place.query('select 1 from losant_usage.revisions')).toEqual([]);
    expect(await place.query('select distinct status from losant_usage.runs')).toEqual([{ status: 'complete' }]);
  });

  it('that read restated days again make one revision each', async () => {
    await using exported = await open();
    const { platform, place, run } = exported;
    expect(await run(backfill(FROM, TO))).toMatchObject({ code: 0 });
    for (const orgId of await orgIdsOf(platform)) await platform.control('restate', { orgId, day: MIDDLE });
    const again = ['run', '--date', MIDDLE, '--wait', '90'];
    await runAll(exported, [backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, TO), again]);
    const changes = `select stream, count(distinct org_id)::integer as orgs, min(revision), max(revision)
      from losant_usage.revisions group by stream order by stream`;
    expect(await place.query(changes)).toEqual(
      ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'].map((stream) => {
        return { stream, orgs: 5, min: 2, max: 2 };
      }),
    );
  });

  it('leave a backfill incomplete while a number is in doubt that another one put there meanwhile', async () => {
    await using exported = await open();
    const { platform, place, run, start } = exported;
    await using wire = await startWire(portOf(place.url));
    expect(await run(backfill(MIDDLE, TO))).toMatchObject({ code: 0 });
    // It has begun, and not looked yet for what is due.
    const held = new Promise<void>((resolve) => {
      wire.onSent = (_, bytes) => {
        if (!bytes.includes('insert into "losant_usage"."leases"')) return 'pass';
        wire.onSent = () => 'pass';
        resolve();
        return 'freeze';
      };
    });
    const url = through(wire, place.url);
    const first = start(['backfill', '--json', '--from', MIDDLE, '--to', TO], { DATABASE_URL: url });
    await held;
    const [orgId = ''] = await orgIdsOf(platform);
    await platform.control('omit', { orgId, day: TO, action: 'deviceCounts' });
    expect(await run(backfill(TO, TO))).toMatchObject({ code: 3 });
    wire.thaw();
    const ended = await first.ended;
    expect({ code: ended.code, failures: jsonOf(ended).failures }).toEqual({ code: 3, failures: [] });
    expect(await place.query('select stream, standing from losant_usage.coverage_gaps')).toEqual([
      { stream: 'device_counts', standing: 'in_doubt' },
    ]);
  });

  it('that run at once: one works, and the other ends with exit code 4 or waits for its turn', async () => {
    await using exported = await open();
    const { platform, place, run, start } = exported;
    await platform.control('config', { latencyMs: 120 });
    const first = start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    await until('it is under way', async () => (await place.query('select 1 from losant_usage.runs')).length > 0);
    const refused = await run(['run', '--json']);
    expect(refused.code).toBe(4);
    expect(jsonOf<Refusal>(refused).error.code).toBe('lease_held');
    const waited = await run(['run', '--json', '--wait', '90']);
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(waited.code).toBe(0);
    expect(jsonOf(waited)).toMatchObject({ runId: null, cells: { planned: 0 } });
  });
});
