import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Health, readHealth } from '../../src/queries/health.ts';
import { INSTANCE, NOW, openWorld, type World } from '../console/world.ts';

let world: World;
let health: Health;
beforeAll(async () => {
  world = await openWorld();
  health = await readHealth(world.handle.db, { nowMs: NOW, instanceIds: [INSTANCE] });
});
afterAll(() => world.close());

const streamOf = (name: string) => health.instances[0]?.streams.find(({ stream }) => stream === name);

describe('the state of everything', () => {
  test('counts every cell by its standing as the ledger has it', async () => {
    const rows = await world.ask(`select c.stream, c.standing, count(*)::integer as cells
      from losant_usage.coverage c join losant_usage.organizations o using (org_id)
      where o.instance_id = '${INSTANCE}' group by c.stream, c.standing`);
    const streams = health.instances[0]?.streams ?? [];
    const counted = streams.flatMap(({ stream, cells }) =>
      Object.entries(cells).flatMap(([standing, count]) =>
        count === 0 ? [] : [`${stream} ${standing} ${count}`],
      ),
    );
    expect(counted.toSorted()).toEqual(
      rows
        .map(({ stream, standing, cells }) => `${String(stream)} ${String(standing)} ${String(cells)}`)
        .toSorted(),
    );
  });

  test('says how far the numbers reach, and for how many organizations', () => {
    expect(streamOf('payload_totals')).toMatchObject({
      lastDay: '2026-11-27',
      completeTo: '2026-10-09',
      orgs: 7,
      orgsComplete: 6,
      gaps: 2,
      orgsWithGaps: 1,
      oldestGap: '2026-10-10',
      yesterday: { missing: 1, in_doubt: 0, waiting: 0, unavailable: 0 },
    });
    expect(streamOf('notebook_minutes')).toMatchObject({ completeTo: '2026-11-27', gaps: 0 });
  });

  test('judges the instances in the settings alone, and names others once', () => {
    expect(health.instances.map(({ instanceId }) => instanceId)).toEqual([INSTANCE]);
    expect(health.notInSettings).toEqual(['5c0000000000000000000002']);
    expect(health.gaps).toBe(3);
    expect(health.instances[0]).toMatchObject({
      organizations: 7,
      finalChanges30Days: 2,
    });
  });

  test('has the newest runs', () => {
    expect(health.runs).toMatchObject([{ status: 'partial', counts: { cells: { planned: 40 } } }]);
  });
});
