import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import { addDays, type DayRange, eachDay } from '../../src/usage/day.ts';
import { COMPUTE_SUMS } from '../ledger/ledger.ts';
import { FINISH_CELLS, setPayloads } from '../ledger/payload-orgs.ts';
import { useDigests } from './digests.ts';

type Usage = Readonly<Record<string, (day: string) => number | null>>;

const { ledger, messages, createTimer, addOrg } = useDigests();

test('a week of digests: what is said each morning, and why nothing else is', async () => {
  const usage: Usage = {
    Calm: () => 10,
    // Not stored on Wednesday; read again on Friday.
    Kestrel: (day) => (day === '2026-11-25' && ledger.nowMs < Date.parse('2026-11-27T00:00Z') ? null : 10),
    // No payloads since Tuesday: silent on Friday.
    Cascade: (day) => (day >= '2026-11-24' ? 0 : 10),
    // 230 before Tuesday, 10 a day, and 40 from Thursday on.
    Ironbark: (day) => (day >= '2026-11-26' ? 40 : 10),
    // Not stored since Tuesday.
    Solent: (day) => (day >= '2026-11-24' ? null : 10),
  };
  for (const name of Object.keys(usage)) {
    if (name !== 'Calm') await addOrg({ name, limits: name === 'Ironbark' ? { payload: 320 } : {} });
  }
  await createTimer({ notify: null }).check();
  await ledger.asProgram(sql`update losant_usage.attention_items set named_on = first_seen_on - 1`);
  const timer = createTimer();
  const mornings: Record<string, string> = {};
  for (const today of eachDay({ from: '2026-11-25', to: '2026-12-02' })) {
    await ledger.setTime(`${today}T08:00:00.000Z`);
    await readDays(usage, { from: '2026-11-24', to: addDays(today, -1) });
    messages.length = 0;
    await timer.check();
    mornings[today] = messages.map((message) => message.replace(/\n2026-1[12] through.*/, '')).join();
  }
  expect(mornings).toEqual({
    '2026-11-25': `Data of 1 organization is missing; 1 thing is new, 1 ongoing (as of 2026-11-25 08:00 UTC)
Data missing: Solent (payload_totals since 2026-11-24)`,
    '2026-11-26': `Data of 2 organizations is missing; 1 thing is new, 2 ongoing (as of 2026-11-26 08:00 UTC)
Data missing: Kestrel (payload_totals since 2026-11-25)`,
    // Kestrel was read. The month has been ready since the 24th.
    '2026-11-27': `Data of 1 organization is missing; 2 things are new, 2 ongoing (as of 2026-11-27 08:00 UTC)
About to exceed a limit: Ironbark (payload on 2026-11-30)
Silent for three days: Cascade (since 2026-11-24)
Still: Month ready to close: October 2026 (5 of 5 ready)`,
    '2026-11-28': `Data of 1 organization is missing; 1 thing is new, 3 ongoing (as of 2026-11-28 08:00 UTC)
Limit exceeded: Ironbark (payload 103%)
Still: Data missing: Solent (payload_totals since 2026-11-24)`,
    // A Sunday on which nothing is new.
    '2026-11-29': '',
    '2026-11-30': `Data of 1 organization is missing; nothing is new, 4 ongoing (as of 2026-11-30 08:00 UTC)
Still: Silent for three days: Cascade (since 2026-11-24)`,
    '2026-12-01': `Data of 1 organization is missing; 1 thing is new, 4 ongoing (as of 2026-12-01 08:00 UTC)
Month blocked: November 2026 (4 of 5 ready; Solent: 24 Nov to 30 Nov missing; 230 billable payloads on hold)
Still: Limit exceeded: Ironbark (payload 140%)
Still: Month ready to close: October 2026 (5 of 5 ready)`,
    // The limits of December. Ironbark was last at risk on the 27th.
    '2026-12-02': `Data of 1 organization is missing; 1 thing is new, 4 ongoing (as of 2026-12-02 08:00 UTC)
About to exceed a limit: Ironbark (payload on 2026-12-19)
Still: Data missing: Solent (payload_totals since 2026-11-24)`,
  });
});

/** Reads days of all organizations, as a run would. */
async function readDays(usage: Usage, days: DayRange): Promise<void> {
  await createExpectedCells(ledger.writer());
  for (const [name, payloads] of Object.entries(usage)) {
    const numbers = eachDay(days).map((day) => ({ day, quantity: payloads(day) }));
    const [orgId = ''] = await ledger.list(sql`select org_id from losant_usage.organizations where name = ${name}`);
    await ledger.asProgram(setPayloads(orgId, numbers));
  }
  await ledger.asProgram(FINISH_CELLS, COMPUTE_SUMS);
}
