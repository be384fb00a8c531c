import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { createPlace } from '../e2e/usage.ts';
import { asProgram, loseNumbers } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';

const day = daysAgo(1);
const exported = useExport({ orgs: 3 });
let instanceId: string;

beforeAll(async () => {
  instanceId = exported.platform.instanceId.toLowerCase();
});

/** Without any setting but the database's. */
const status = (url: string, ...args: string[]) => runProgram(['status', ...args], { DATABASE_URL: url });

/** The program's URL for a role that may look at everything and change nothing. */
async function readerUrl(): Promise<string> {
  const url = new URL(exported.place.url);
  const role = `reader_${url.pathname.slice(1)}`;
  await exported.place.query(`create role ${role} login password 'reader'`);
  await exported.place.query(`grant usage on schema losant_usage to ${role}`);
  await exported.place.query(`grant select on all tables in schema losant_usage to ${role}`);
  return Object.assign(url, { username: role, password: 'reader' }).href;
}

describe('status', () => {
  it('says what to do about a database without tables', async () => {
    const empty = await createPlace('empty');
    const ended = await status(empty.url, '--json');
    await empty.remove();
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error).toMatchObject({
      code: 'database_too_old',
      hint: 'run `losant-usage migrate`',
    });
  });

  it('says how far each stream reaches, who exports and the last runs', async () => {
    expect(await exported.run(['run'])).toMatchObject({ code: 0 });
    const ended = await status(exported.place.url, '--json');
    expect(ended.code).toBe(0);
    const stream = {
      firstDay: day,
      orgs: 3,
      orgsComplete: 3,
      lastDay: day,
      completeTo: day,
      gaps: 0,
      orgsWithGaps: 0,
      oldestGap: null,
    };
    expect(jsonOf(ended)).toMatchObject({
      gaps: 0,
      instances: [
        {
          instanceId,
          leaseSince: null,
          streams: [
            { ...stream, stream: 'device_counts' },
            { ...stream, stream: 'notebook_minutes' },
            { ...stream, stream: 'payload_sources' },
            { ...stream, stream: 'payload_totals' },
          ],
        },
      ],
      notInSettings: [],
      runs: [
        {
          instanceId,
          kind: 'manual',
          status: 'complete',
          from: day,
          to: day,
          counts: { cells: { planned: 12, failed: 0 } },
        },
      ],
    });
    const shown = await status(exported.place.url);
    expect(shown.stdout.split('\n').slice(0, 9)).toEqual([
      `Instance ${instanceId}`,
      `  Yesterday, ${day}, is complete.`,
      '  stream            organizations  newest      complete to  gaps',
      `  device_counts                 3  ${day}  ${day}   none`,
      `  notebook_minutes              3  ${day}  ${day}   none`,
      `  payload_sources               3  ${day}  ${day}   none`,
      `  payload_totals                3  ${day}  ${day}   none`,
      '  idle',
      '  last runs:',
    ]);
    expect(shown.stdout).toMatch(
      new RegExp(
        `\\n {4}\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC {2}${day} {2}\\S+ s {2,}run: complete, 12 numbers\\n$`,
      ),
    );
  });

  it('judges no instance that is not in the settings, and says once how to end it', async () => {
    const other = '0123456789abcdef01234567';
    const env = { ...exported.env, LOSANT_INSTANCE_ID: other };
    const ended = await runProgram(['status'], env);
    expect(ended.code).toBe(0);
    expect(ended.stdout).not.toContain(`Instance ${instanceId}\n`);
    expect(ended.stdout).toContain(`\n  losant-usage run --end ${instanceId}\n`);
    const document = jsonOf<{ instances: unknown[] }>(await runProgram(['status', '--json'], env));
    expect(document).toMatchObject({ instances: [], notInSettings: [instanceId] });
  });

  it('exits 3 while organizations may be missing from the list, and says so', async () => {
    const setProblem = (problem: string) =>
      exported.place.query(asProgram(`update losant_usage.instances set list_problem = ${problem}`));
    await setProblem(`'page 2 did not come'`);
    const ended = await status(exported.place.url);
    expect(ended.code).toBe(3);
    expect(ended.stdout).toContain(
      '  organizations may be missing: the list was not complete, page 2 did not come\n',
    );
    expect((await status(exported.place.url, '--json')).code).toBe(3);
    await setProblem('null');
    expect((await status(exported.place.url)).code).toBe(0);
  });

  it('works with a role that may only read, as gaps and explain do, and exits 3 at a gap', async () => {
    const url = await readerUrl();
    const [orgId = ''] = await orgIdsOf(exported.platform);
    await exported.place.query(loseNumbers('device_counts', orgId));
    const ended = await status(url);
    expect(ended.code).toBe(3);
    expect(ended.stdout).toContain(`1 number of 1 organization since ${day}`);
    expect(ended.stdout).toContain('  Next: losant-usage gaps lists the gaps, and why\n');
    const env = { DATABASE_URL: url };
    expect((await runProgram(['gaps', '--all', '--json'], env)).code).toBe(3);
    expect((await runProgram(['explain', '--org', orgId, '--day', day], env)).code).toBe(0);
  });
});

describe('run --end', () => {
  it('ends the tracks of an instance that left the settings, after which nobody speaks of it', async () => {
    const other = '0123456789abcdef01234567';
    const env = { ...exported.env, LOSANT_INSTANCE_ID: other };
    const refused = await exported.run(['run', '--end', instanceId, '--json']);
    expect(refused.code).toBe(2);
    expect(jsonOf<Refusal>(refused).error.message).toBe(
      `--end ${instanceId}: this instance is in the settings`,
    );
    const ended = await runProgram(['run', '--end', instanceId, '--json'], env);
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toEqual({ instanceId, tracks: 12 });
    const open = await exported.place.query('select from losant_usage.tracks where to_day is null');
    expect(open).toEqual([]);
    expect((await runProgram(['status'], env)).stdout).not.toContain('--end');
  });
});
