import type { DatabaseHandle } from '../database/connect/handle.ts';
import { SettingsError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { idsOption, monthOption, required, switchOption, textOption } from './options.ts';

export const close = defineCommand({
  name: 'close',
  summary: 'close a billing period: its numbers as a statement that nothing changes',
  group: 'Decide',
  needs: 'database',
  options: {
    period: required(monthOption('the month; with periods of Losant, the month in which they end')),
    instance: idsOption('instance', 'only these instances'),
    incomplete: textOption('REASON', 'close it though organizations are not billable, and why'),
    adjust: switchOption('settle what changed since it was closed, as a statement of differences'),
    dryRun: switchOption('show the statement, and keep nothing'),
  },
  examples: [
    { args: 'close --period 2026-10 --dry-run', does: 'what would be closed' },
    { args: 'close --period 2026-10', does: 'close October' },
    { args: 'close --period 2026-10 --adjust', does: 'settle what Losant restated since' },
  ],
  async run(context, { period: month, instance, incomplete, adjust: isAdjustment, dryRun: isDryRun }) {
    const reason = incomplete === null ? null : incomplete.trim();
    if (reason === '') {
      throw new SettingsError('--incomplete is empty', {
        hint: 'say why numbers are missing, for whoever bills',
      });
    }
    if (reason !== null && isAdjustment) {
      throw new SettingsError('--incomplete and --adjust exclude each other', {
        hint: 'an adjustment asks for no complete numbers: leave --incomplete out',
      });
    }
    const { withDatabase, requireWritable } = await import('./open-database.ts');
    const { closeInstances } = await import('./x-close-instances.ts');
    const { VIEW_STATEMENT_MS } = await import('../database/read/view-rows.ts');
    const options = { month, instance, reason, isAdjustment, isDryRun };
    const work = async (handle: DatabaseHandle) => {
      requireWritable(handle);
      return await closeInstances(context, handle, options);
    };
    // A month of the ledger is sorted for the proof pack, which takes long on a server with other work.
    return await withDatabase(context, work, { statementTimeoutMs: VIEW_STATEMENT_MS });
  },
});
