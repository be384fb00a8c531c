import { SettingsError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { choiceOption, dayOption, idsOption, pathOption, required } from './options.ts';

export const exportFile = defineCommand({
  name: 'export',
  summary: 'a view as a file: CSV, NDJSON or Parquet',
  group: 'Look',
  needs: 'database',
  options: {
    view: required(choiceOption({ value: 'NAME', plural: 'views' }, 'the view', readViewNames)),
    from: required(dayOption('first day; of months and periods, those that hold it')),
    to: required(dayOption('last day, included')),
    format: required(choiceOption({ value: 'NAME', plural: 'formats' }, 'the format', readFormatNames)),
    out: pathOption('the file, which is replaced once the new one is whole', 'stdout'),
    instance: idsOption('instance', 'only these instances'),
    org: idsOption('organization', 'only these organizations'),
  },
  examples: [
    {
      args: 'export --view monthly_usage --from 2026-10-01 --to 2026-10-31 --format csv --out october.csv',
      does: 'a month of every organization, for a spreadsheet',
    },
    {
      args: 'export --view daily_usage --from 2026-01-01 --to 2026-12-31 --format parquet --out 2026.parquet',
      does: 'a year of days, for a data lake',
    },
    {
      args: 'export --view coverage_gaps --from 2026-11-01 --to 2026-11-30 --format ndjson | jq .reason',
      does: 'the gaps of a month, for a program',
    },
  ],
  async run(context, { view, from, to, format, out, instance, org }) {
    if (from > to) {
      throw new SettingsError(`--from ${from} is later than --to ${to}`, {
        hint: 'give the earlier day first; both are included',
      });
    }
    if (out === null && context.output.json) {
      throw new SettingsError('--json tells about a file, and the file itself would go to stdout', {
        hint: 'name the file with --out, or leave out --json',
      });
    }
    const { writeViewFile } = await import('./export.ts');
    return await writeViewFile(context, {
      name: view,
      range: { from, to },
      format,
      out,
      instanceIds: instance,
      orgIds: org,
    });
  },
});

async function readViewNames(): Promise<readonly string[]> {
  return (await import('../database/read/exported-views.ts')).exportedViewNames;
}

async function readFormatNames(): Promise<readonly string[]> {
  return (await import('../files/formats.ts')).formatNames;
}
