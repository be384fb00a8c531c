/** Parts of a backfill that run beside each other, one of which is killed and started again. */
import { expect, test } from 'vitest';
import { SOON } from '../campaigns/stage.ts';
import { type Export, openExport } from '../e2e/export.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';

const ORGS = 30;
const [FROM, TO] = [daysAgo(31), daysAgo(1)];
/** Of an organization: a window of 31 days in five requests, and a request a day for the sources. */
const PER_ORG = 5 + 31;
const part = (index: number) => ['backfill', '--json', '--from', FROM, '--to', TO, '--shard', `${index}/3`];

/** Organizations that have cells, by the run that wrote them. */
async function orgsByRun({ place }: Export): Promise<Map<string, string[]>> {
  const rows = await place.query(
    'select run_id, array_agg(distinct org_id) as orgs from losant_usage.coverage group by run_id',
  );
  return new Map(rows.map(({ run_id, orgs }) => [run_id as string, orgs as string[]]));
}

async function requestsFor({ platform }: Export, orgIds: readonly string[]): Promise<number[]> {
  const stats = orgIds.map((orgId) => platform.control(`stats?orgId=${orgId}`));
  return (await Promise.all(stats)).map((each) => (each as { requests: number }).requests);
}

test('three parts of a backfill have no organization in common, and one that was killed goes on when it is started again', async () => {
  const exported = await openExport({ orgs: ORGS, hostile: false, latencyMs: 40 });
  try {
    const { platform, place, run, start, spawn } = exported;
    expect((await run(['migrate'])).code).toBe(0);
    const slow = { REQUEST_CONCURRENCY: '4' };
    const [first, second] = [start(part(0), slow), start(part(1), slow)];
    const killed = spawn(part(2), slow);
    const runsWithCells = async () => (await orgsByRun(exported)).size;
    await expect.poll(runsWithCells, SOON).toBe(3);
    killed.kill('SIGKILL');
    expect(await killed.ended).toMatchObject({ code: null, signal: 'SIGKILL' });

    const again = await run(part(2));
    const ends = [await first.ended, await second.ended, again];
    expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(['ok', 'ok', 'ok']);
    expect(firstDifference(await readStored(place), await readTruth(platform, FROM, TO))).toBeNull();
    expect(await place.query('select count(*)::integer as changes from losant_usage.revisions')).toEqual([
      { changes: 0 },
    ]);

    const byRun = await orgsByRun(exported);
    const undisturbed = ends.slice(0, 2).map((ended) => byRun.get(jsonOf(ended).runId ?? '') ?? []);
    const repeated = new Set([...byRun.values()].flat());
    for (const orgId of undisturbed.flat()) repeated.delete(orgId);
    expect(undisturbed.flat().length + repeated.size).toBe(ORGS);
    expect(new Set(undisturbed.flat()).size).toBe(undisturbed.flat().length);
    expect(new Set(await requestsFor(exported, undisturbed.flat()))).toEqual(new Set([PER_ORG]));
    expect(Math.min(...(await requestsFor(exported, [...repeated])))).toBeGreaterThanOrEqual(PER_ORG);
  } finally {
    await exported.close();
  }
});
