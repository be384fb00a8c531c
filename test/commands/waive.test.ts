import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { asProgram, deleteNumbers } from '../support/by-hand.ts';
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
      message: `Nothing was waived: the number is stored, and all right, for ${day}`,
      hint: 'a number is accepted where it is missing, in doubt, unavailable or will not become final: losant-usage gaps --all lists them',
    });
    expect(await state()).toEqual([{ day, standing: 'stored', reason: null, message: null }]);
  });

  it('refuses days that were never tracked, and a day that is not over', async () => {
    const early = await waive(`${daysAgo(3)}..${daysAgo(2)}`);
    expect(early.code).toBe(2);
    expect(jsonOf<Refusal>(early).error.message).toBe(
      `Nothing was waived: device_counts of organization ${orgId} is tracked from ${day} to ${day}, and not on every day of ${daysAgo(3)}..${daysAgo(2)}`,
    );
    const today = await waive(daysAgo(0));
    expect(today.code).toBe(2);
    expect(jsonOf<Refusal>(today).error.message).toBe(`--day ${daysAgo(0)}: that day is not over in UTC`);
    expect(await state()).toHaveLength(1);
  });

  it('refuses to be given no reason', async () => {
    const ended = await waive(day, ' ');
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error.message).toBe('--reason is empty');
    const pasted = await waive(daysAgo(1), 'TEXT');
    expect(pasted.code).toBe(2);
    expect(jsonOf<Refusal>(pasted).error.message).toBe('--reason is TEXT, which stands for a reason');
  });

  it('accepts missing numbers, asked for or not, and the next good read lifts it', async () => {
    const from = daysAgo(2);
    await exported.place.query(
      asProgram(
        `update losant_usage.tracking set tracked_days = tracked_days + datemultirange(daterange('${from}', '${day}'))
         where stream = 'device_counts'`,
      ),
    );
    await exported.place.query(deleteNumbers('device_counts', orgId));
    expect((await look('gaps')).code).toBe(3);

    const ended = await waive(`${from}..${day}`);
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toEqual({
      orgId,
      stream: 'device_counts',
      days: [from, day],
      reason: 'Acme agreed',
      asZero: false,
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

  it('stores zeros in place of a number that Losant leaves out by now, where --as-zero says so', async () => {
    const stream = 'notebook_minutes';
    await exported.platform.control('omit', { orgId, day, action: stream });
    const range = ['--from', day, '--to', day, '--stream', stream];
    expect(await exported.run(['backfill', ...range, '--force'])).toMatchObject({ code: 3 });
    const cell = async () =>
      await exported.place.query(
        `select standing, reason, minutes::integer from losant_usage.coverage
           join losant_usage.notebook_minutes using (usage_date, org_id)
         where org_id = '${orgId}' and stream = '${stream}' and usage_date = '${day}'`,
      );
    expect(await cell()).toMatchObject([{ standing: 'in_doubt', reason: 'left_out' }]);

    const where = ['--org', orgId, '--day', day, '--stream', stream];
    const ended = await look('waive', ...where, '--reason', 'nothing ran', '--as-zero', '--json');
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toEqual({ orgId, stream, days: [day], reason: 'nothing ran', asZero: true });
    expect(await cell()).toEqual([{ standing: 'accepted', reason: 'waived', minutes: 0 }]);
  });
});
