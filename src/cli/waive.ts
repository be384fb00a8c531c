import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { waiveCells } from '../ledger/waive.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { streamOption } from './export-options.ts';
import { requireWritable, withDatabase } from './open-database.ts';
import { daysOption, idOption, required, requirePastDay, switchOption, textOption } from './options.ts';

export const waive = defineCommand({
  needs: 'database',
  options: {
    org: required(idOption('organization', 'the organization')),
    day: required(daysOption('the day, or the first and the last')),
    stream: required(streamOption('the stream')),
    reason: required(textOption('TEXT', 'why it is accepted, for whoever bills')),
    asZero: switchOption('store zeros in place of a number that Losant leaves out by now'),
  },
  examples: ({ weekAgo }) => ({
    [`waive --org 575ec8687ae143cd83dc4a97 --day ${weekAgo} --stream payload_totals --reason "agreed with Acme"`]:
      'one number',
  }),
  async run(context, { org, day, stream, reason, asZero }) {
    const { output, hostNow } = context;
    requirePastDay('--day', day.from, hostNow());
    requirePastDay('--day', day.to, hostNow());
    const why = reason.trim();
    if (why === '' || why === 'TEXT') {
      throw new SettingsError(`--reason is ${why === '' ? 'empty' : 'TEXT, which stands for a reason'}`, {
        hint: 'say why the number is accepted as it stands, for whoever bills',
      });
    }
    const days = await withDatabase(context, async (handle) => {
      requireWritable(handle);
      return await waiveCells(handle.db, { orgId: org, stream, range: day, reason: why, asZero });
    });
    if (output.json) output.printJson({ orgId: org, stream, days, reason: why, asZero });
    else {
      const as = asZero ? ' as zero' : '';
      output.print(
        `Waived ${count(days.length, 'number')}${as}: ${stream} of ${org} for ${days.join(', ')}.`,
      );
      output.print('The next good read lifts it.');
    }
    return EXIT.ok;
  },
});
