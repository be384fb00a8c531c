import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { asProgram, loseNumbers } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, runProgram } from '../support/program.ts';

const day = daysAgo(1);
const exported = useExport({ orgs: 2 });
let orgId: string;
let instanceId: string;
let name: string;

beforeAll(async () => {
  const ids = await orgIdsOf(exported.platform);
  orgId = ids[0] ?? '';
  instanceId = exported.platform.instanceId.toLowerCase();
  await exported.run(['run']);
  const [row] = await exported.place.query(
    `select name from losant_usage.organizations where org_id = '${orgId}'`,
  );
  name = String(row?.['name']);
});

/** Without any setting but the database's. */
const gaps = (...args: string[]) => runProgram(['gaps', ...args], { DATABASE_URL: exported.place.url });

describe('gaps', () => {
  it('is an empty list and exit code 0 when nothing is missing', async () => {
    expect(await gaps('--json')).toMatchObject({ code: 0, stdout: '[]\n' });
    expect(await gaps()).toMatchObject({ code: 0, stdout: 'No gaps.\n' });
    expect(await gaps('--all')).toMatchObject({
      code: 0,
      stdout: 'No gaps.\nNothing is accepted or unavailable.\n',
    });
  });

  // Promise (Missing numbers): The commands status and gaps exit with 3 while there is a gap, and a run whose due
  // numbers are not all stored does not exit with 0.
  it('names every missing number with its reason, and exits 3', async () => {
    await exported.place.query(loseNumbers('payload_totals', orgId));
    const ended = await gaps('--json');
    expect(ended.code).toBe(3);
    expect(jsonOf(ended)).toEqual([
      {
        instanceId,
        orgId,
        stream: 'payload_totals',
        day,
        standing: 'missing',
        reason: 'server_error',
        message: 'HTTP 502',
        nextReadAt: expect.any(String) as string,
      },
    ]);
    const shown = await gaps();
    expect(shown.code).toBe(3);
    expect(shown.stdout.split('\n').slice(0, 7)).toEqual([
      '1 number of 1 organization is missing or in doubt.',
      '',
      'missing: server_error, HTTP 502 (1 number)',
      `  ${day}  payload_totals  next run  ${orgId}  ${name}`,
      '',
      'What is due is read by the next run. To read one at once, to see more of it, to accept it as it stands:',
      `  losant-usage backfill --from ${day} --to ${day} --org ${orgId} --stream payload_totals --force`,
    ]);
  });

  it('lists what is unavailable only with --all, and it is no reason for exit code 3', async () => {
    await exported.place.query(
      asProgram(
        `update losant_usage.coverage set standing = 'unavailable', next_read_at = null, reason = 'past_horizon',
           message = 'too old' where org_id = '${orgId}' and stream = 'payload_totals'`,
      ),
    );
    expect(await gaps('--json')).toMatchObject({ code: 0, stdout: '[]\n' });
    const all = await gaps('--all', '--json');
    expect(all.code).toBe(0);
    expect(jsonOf(all)).toEqual([
      {
        instanceId,
        orgId,
        stream: 'payload_totals',
        day,
        standing: 'unavailable',
        reason: 'past_horizon',
        message: 'too old',
        nextReadAt: null,
      },
    ]);
  });
});
