import { readNowMs } from '../database/session.ts';
import { waiveCells } from '../ledger/waive.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { days, flagOption, orgsOption, reason, requiredOption, requireEndedDays, streamsOption } from './options.ts';

export const waive = defineCommand({
  needs: ['database'],
  role: 'losant_usage_writer',
  options: {
    org: orgsOption,
    day: requiredOption('YYYY-MM-DD[..YYYY-MM-DD]', 'a day, or a range of days', days),
    stream: streamsOption,
    zero: flagOption('replace stored numbers that Losant leaves out by zeros, as a restatement'),
    reason: requiredOption('TEXT', 'the reason, shown to whoever bills', reason),
  },
  async run(context, { org: orgIds, day: range, stream: streams, zero: isZeroed, reason: waiverReason }) {
    await using handle = await openSchema(context, 'writes');
    requireEndedDays(range, ['--day', '--day'], await readNowMs(handle));
    const { policy } = context.config;
    const cells = await waiveCells(handle.db, { orgIds, streams, range, reason: waiverReason, isZeroed, policy });
    const byStream = Map.groupBy(cells, ({ orgId, stream }) => `${orgId} ${stream}`);
    const rows = [...byStream].map(([name, streamCells]) => {
      const ranges = mergeDays(streamCells.map(({ day }) => day)).map(showDays);
      return [...name.split(' '), ranges.join(', ')];
    });
    const orgs = new Set(cells.map(({ orgId }) => orgId)).size;
    const zeroed = isZeroed ? ', whose numbers are zero now' : '';
    const head = `Waived ${count(cells.length, 'cell')} of ${count(orgs, 'organization')}${zeroed}:`;
    return {
      document: { reason: waiverReason, isZeroed, cells },
      lines: [head, ...formatTable({ rows, most: MAX_TABLE_ROWS }), 'A later good read lifts the waiver.'],
    };
  },
});
