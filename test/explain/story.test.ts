import { beforeAll, expect, test } from 'vitest';
import { describeSeen, describeWaiver, readDayStory } from '../../src/queries/story.ts';
import { RUN_1, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';

const ledger = useLedger();
let orgId: string;

const policy = { readAtHours: [0, 72], finalAtHours: 72, horizonDays: 90 };
const nowMs = Date.parse('2026-11-24T10:30:00.000Z');
const story = (day: string) =>
  readDayStory(ledger.db, { orgId, day, streams: ['device_counts'] }, { nowMs, policy });

beforeAll(async () => {
  orgId = await ledger.newOrg();
  await queryOnce(
    ledger.url,
    asProgram(`
      insert into losant_usage.quarantine
        (org_id, stream, from_date, to_date, code, problem, times, first_seen_at, last_seen_at, resolved_days)
      values ('${orgId}', 'device_counts', '2026-11-10', '2026-11-12', 'wrong_window', 'it ends too early', 3,
        '2026-11-13T00:15:00Z', '2026-11-14T00:15:00Z', '{[2026-11-11,2026-11-12)}');
      ${addCell({ day: '2026-11-10', stream: 'device_counts', orgId }, 'stored')}
      insert into losant_usage.waivers
        (org_id, stream, usage_date, reason, waived_by, waived_at, lifted_at, lifted_by_run) values
        ('${orgId}', 'device_counts', '2026-11-10', 'not billed', 'anna', '2026-11-15T08:00:00Z', '2026-11-16T09:00:00Z', null),
        ('${orgId}', 'device_counts', '2026-11-10', 'test plant', 'ben', '2026-11-16T09:00:00Z', '2026-11-17T10:00:00Z', '${RUN_1}')`),
  );
});
test.for([
  ['2026-11-10', false, '3 times, last 2026-11-14 00:15 UTC, not resolved'],
  ['2026-11-11', true, '3 times, last 2026-11-14 00:15 UTC, resolved for this day'],
  ['2026-11-12', false, '3 times, last 2026-11-14 00:15 UTC, not resolved'],
] as const)(
  'an invalid answer of three days is resolved for %s alone: %s',
  async ([day, isResolved, said]) => {
    const answers = (await story(day))?.cells[0]?.quarantine ?? [];
    expect(answers).toMatchObject([{ from: '2026-11-10', to: '2026-11-12', resolvedAt: null, isResolved }]);
    expect(answers.map(describeSeen)).toEqual([said]);
  },
);

test('says who waived a number, why, and until when', async () => {
  const waivers = (await story('2026-11-10'))?.cells[0]?.waivers ?? [];
  expect(waivers.map((waiver) => [waiver.reason, describeWaiver(waiver)])).toEqual([
    ['not billed', 'by anna 2026-11-15 08:00 UTC, replaced 2026-11-16 09:00 UTC'],
    ['test plant', 'by ben 2026-11-16 09:00 UTC, lifted by a good read 2026-11-17 10:00 UTC'],
  ]);
  expect((await story('2026-11-11'))?.cells[0]?.waivers).toEqual([]);
});

test('there is none of an organization that was never seen', async () => {
  const unknown = { orgId: '0'.repeat(24), day: '2026-11-10', streams: null };
  expect(await readDayStory(ledger.db, unknown, { nowMs, policy })).toBeNull();
});
