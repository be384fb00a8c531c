import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const SLOW = { REQUEST_CONCURRENCY: '2' };

const exported = useExport({ orgs: 20 });
beforeAll(async () => {
  await exported.run(['run']);
  await exported.platform.control('config', { latencyMs: 60 });
});

/** Starts reading the day, and sends the signal once some of it is stored. */
async function interrupt(day: string, signal: NodeJS.Signals) {
  const { place, spawn } = exported;
  const running = spawn(['backfill', '--json', '--from', day, '--to', day], SLOW);
  const isUnderWay = async () => {
    const rows = await place.query(
      `select from losant_usage.coverage where usage_date = '${day}' and is_stored limit 1`,
    );
    return rows.length > 0;
  };
  await until('some of it is stored', isUnderWay);
  running.kill(signal);
  return await running.ended;
}

async function completes(day: string): Promise<void> {
  const { platform, place, run } = exported;
  await platform.control('config', { latencyMs: 0 });
  // The killed process's lease lapses within a minute by itself; nobody has to wait for it here.
  await place.query('update losant_usage.leases set until = now()');
  const ended = await run(['backfill', '--json', '--from', day, '--to', day]);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended).cells['planned']).toBeLessThan(80);
  await platform.control('config', { latencyMs: 60 });
  const truth = await readTruth(platform, day, day);
  expect((await readStored(place)).filter((line) => line.includes(` ${day} `))).toEqual(truth);
}

it.each([
  ['SIGTERM', 143, 'terminated', 2],
  ['SIGINT', 130, 'interrupted', 3],
  ['SIGHUP', 143, 'terminated', 4],
] as const)(
  'ends on %s with exit code %i, and the next run completes what it began',
  async (signal, code, kind, back) => {
    const day = daysAgo(back);
    const ended = await interrupt(day, signal);
    expect(ended.code).toBe(code);
    expect(jsonOf<Refusal>(ended).error).toEqual({
      code: kind,
      message: `Interrupted by ${signal}`,
      hint: 'its days stay due: the next run reads them, and so does the same command',
    });
    const [run] = await exported.place.query(
      'select status, finished_at is not null as is_finished from losant_usage.runs order by started_at desc limit 1',
    );
    expect(run).toEqual({ status: 'interrupted', is_finished: true });
    expect(await exported.place.query('select run_id from losant_usage.leases')).toEqual([]);
    await completes(day);
  },
);

// Promise (Numbers): Interrupted anywhere, the next run goes on without a lost, doubled or half-written number.
it('is killed without reporting, and the next run notes it and completes what it began', async () => {
  const day = daysAgo(5);
  const ended = await interrupt(day, 'SIGKILL');
  expect(ended).toMatchObject({ code: null, stdout: '' });
  const halves = await exported.place.query(`
    select c.org_id from losant_usage.coverage c left join losant_usage.device_counts f using (usage_date, org_id)
    where c.stream = 'device_counts' and c.is_stored <> (f.org_id is not null)`);
  expect(halves).toEqual([]);
  await completes(day);
  const [run] = await exported.place.query(
    'select status from losant_usage.runs order by started_at desc offset 1 limit 1',
  );
  expect(['running', 'interrupted']).toContain(run?.['status']);
});
