/** A number that Losant leaves out after it was stored: what explain shows, and how a person makes it zero. */
import { expect, test } from 'vitest';
import { cellResponse, useLedger } from '../ledger/ledger.ts';
import { runProgram } from '../support/program.ts';
import { containing, matching } from '../support/texts.ts';
import { omitted, report, totals } from '../usage/cells.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');
const DAY = '2026-11-20';

test('explain prints the command that makes it zero, and shows afterward who did that and why', async () => {
  const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['payload_totals']);
  await ledger.load([cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900)))]);
  await ledger.setTime('2026-11-24T13:00:00.000Z');
  await ledger.load([cellResponse(orgId, 'payload_totals', DAY, omitted)]);
  const run = (command: string) => runProgram(command.split(' '), { DATABASE_URL: ledger.url });
  const explain = async () => (await run(`explain --org ${orgId} --day ${DAY} --stream payload_totals`)).stdout;
  const doubted = await explain();
  expect(doubted).toContain('payload_totals: in doubt: omitted, Losant omitted the day, but a number is stored\n');
  const [, command = ''] =
    /\n {2}to make it zero: {2}losant-usage (waive .*) --reason TEXT --zero\n/.exec(doubted) ?? [];
  expect(await run(`${command} --zero`)).toMatchObject({ code: 2, stderr: containing('--reason') });
  const { code, stdout } = await run(`${command} --zero --reason Acme`);
  expect([code, stdout.split('\n')[0]]).toEqual([0, 'Waived 1 cell of 1 organization, whose numbers are zero now:']);
  const lines = (await explain()).split('\n');
  const at = '2026-11-24 13:00 UTC';
  expect(lines.slice(2)).toEqual([
    'payload_totals: waived: Acme',
    '  payload_billable_count  0',
    '  payload_all_count       0',
    '  payload_all_bytes       0',
    '  revision: 2',
    '  not reported by Losant: some or all of the zeros',
    '  last read: 12:00 UTC (1 h ago)',
    matching(/^ {2}first loaded: 2026-11-24/),
    matching(/^ {2}final since: 2026-11-24/),
    matching(/^ {2}response: sha256 a{64}, run /),
    `  revision 2, ${at}: payload_all_bytes: 900 → 0 (after it was final), by losant_usage_writer: Acme`,
    `  revision 2, ${at}: payload_all_count: 21 → 0 (after it was final), by losant_usage_writer: Acme`,
    `  revision 2, ${at}: payload_billable_count: 17 → 0 (after it was final), by losant_usage_writer: Acme`,
    `  waived by losant_usage_writer, ${at}: Acme`,
    '  nothing to do; a good read lifts the waiver',
    '',
  ]);
});
