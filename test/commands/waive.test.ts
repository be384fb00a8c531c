import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { loseNumbers } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';

const day = daysAgo(1);
const exported = useExport({ orgs: 1 });
let orgId: string;

beforeAll(async () => {
  const ids = await orgIdsOf(exported.platform);
  orgId = ids[0] ?? '';
  await exported.run(['run']);
});

/** Without any setting but the database's. */
const look = (...args: string[]) => runProgram(args, { DATABASE_URL: exported.place.url });

const waive = (days: string, reason = 'Acme agreed') =>
  look('waive', '--org', orgId, '--day', days, '--stream', 'device_counts', '--reason', reason, '--json');

const state = async () =>
  await exported.place.query(
    `select usage_date::text as day, standing, reason, message from losant_usage.coverage
     where org_id = '${orgId}' and stream = 'device_counts' order by usage_date`,
  );

describe('waive', () => {
  it('refuses a number that is stored and all right, and leaves it', async () => {
    const ended = await waive(day);
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error).toEqual({
      code: 'settings',
      message: `Nothing was waived: every number of organization ${orgId} from ${day} to ${day} is all right, or will be read again`,
      hint: 'losant-usage gaps --all lists what is missing, in doubt, unavailable or accepted',
    });
    expect(await state()).toEqual([{ day, standing: 'stored', reason: null, message: null }]);
  });

  it('refuses days that nobody wants, and a day that is not over', async () => {
    const early = await waive(`${daysAgo(3)}..${daysAgo(2)}`);
    expect(early.code).toBe(2);
    expect(jsonOf<Refusal>(early).error.message).toBe(
      `Nothing was waived: nothing of organization ${orgId} is wanted from ${daysAgo(3)} to ${daysAgo(2)}`,
    );
    const today = await waive(daysAgo(0));
    expect(today.code).toBe(2);
    expect(jsonOf<Refusal>(today).error.message).toBe(`--day ${daysAgo(0)}: that day is not over in UTC`);
    expect(await state()).toHaveLength(1);
  });

  it('refuses to be given no reason', async () => {
    const ended = await waive(day, ' ');
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error.message).toBe('--reason  : It is empty: say why, for whoever bills.');
    const pasted = await waive(daysAgo(1), 'TEXT');
    expect(pasted.code).toBe(2);
    expect(jsonOf<Refusal>(pasted).error.message).toBe(
      '--reason TEXT: That stands for a reason: say why, for whoever bills.',
    );
  });

  // Promise (Missing numbers): Only a number that is missing, in doubt, unavailable or will not become final can be
  // accepted, with a reason on record; a good read lifts it.
  it('accepts what is missing and passes over the rest, and the next good read lifts it', async () => {
    const from = daysAgo(2);
    await exported.run(['backfill', '--from', from, '--to', from]);
    await exported.place.query(loseNumbers('device_counts', orgId));
    expect((await look('gaps')).code).toBe(3);

    const ended = await look(
      'waive',
      '--org',
      orgId,
      '--day',
      `${from}..${day}`,
      '--reason',
      'Acme agreed',
      '--json',
    );
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toEqual({
      orgId,
      reason: 'Acme agreed',
      cells: [
        { stream: 'device_counts', day: from },
        { stream: 'device_counts', day },
      ],
    });
    expect(await state()).toEqual([
      { day: from, standing: 'accepted', reason: 'waived', message: 'Acme agreed' },
      { day, standing: 'accepted', reason: 'waived', message: 'Acme agreed' },
    ]);
    expect((await look('gaps')).code).toBe(0);

    expect(await exported.run(['run', '--date', day])).toMatchObject({ code: 0 });
    expect(await state()).toEqual([
      { day: from, standing: 'accepted', reason: 'waived', message: 'Acme agreed' },
      { day, standing: 'stored', reason: null, message: null },
    ]);
  });
});
