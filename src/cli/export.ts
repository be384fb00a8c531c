import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { createRenderer, type FormatName, formatNames } from '../files/formats.ts';
import type { Part, Row } from '../files/renderer.ts';
import { type FileFacts, WholeFile } from '../files/whole-file.ts';
import {
  type ExportedView,
  exportedView,
  exportedViewNames,
  readViewColumns,
  streamView,
  VIEW_STATEMENT_MS,
  type ViewRequest,
} from '../queries/view-rows.ts';
import { createProgress } from '../terminal/progress.ts';
import { line } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { type DayRange, daysFrom, type UsageDay } from '../usage/day.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseJudged, readInstancesOf } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { day, id, oneOf, optional, required, several, text } from './options.ts';

export const exportFile = defineCommand({
  needs: ['database'],
  whenInterrupted: 'nothing was written; a file that was there before is as it was',
  options: {
    view: required('NAME', `the view: ${exportedViewNames.join(', ')}`, oneOf('views', exportedViewNames)),
    from: optional('YYYY-MM-DD', 'first day; of months, those that hold it; required for views of days', day),
    to: optional('YYYY-MM-DD', 'last day, included; required with --from', day),
    format: required('NAME', `the format: ${formatNames.join(', ')}`, oneOf('formats', formatNames)),
    out: optional('FILE', 'the file, which is replaced once the new one is complete; - is stdout', text, '-'),
    instance: several('ID', 'only these instances', id('instance')),
    org: several('ID', 'only these organizations', id('organization')),
  },
  examples: ({ lastMonth: { name, from, to }, twoMonthsAgo, yesterday }) => ({
    [`export --view monthly_usage --from ${from} --to ${to} --format csv --out ${name}.csv`]:
      'last month of every organization, for a spreadsheet',
    [`export --view daily_usage --from ${twoMonthsAgo} --to ${yesterday} --format parquet --out days.parquet`]:
      'two months of days, for a data lake',
    [`export --view coverage_gaps --from ${from} --to ${to} --format ndjson | jq .reason`]:
      'the gaps of a month, for a program',
  }),
  async run(context, { view: name, from, to, format, out: path, instance, org }) {
    const { output } = context;
    // The command line has checked the name.
    const view = exportedView(name) as ExportedView;
    const range = readRange(name, view, { from, to });
    const out = readPath(path);
    if (out === null && output.json) {
      throw new SettingsError('--json describes a file, and the file itself would go to stdout', {
        hint: 'name the file with --out, or leave out --json',
      });
    }
    const work = async (handle: DatabaseHandle) => {
      if (instance !== null) await chooseJudged(context, handle, instance);
      const columns = await readViewColumns(handle.db, name);
      const request = { name, view, columns, range, instanceIds: instance, orgIds: org, format, out };
      await requireKnownOrgs(handle, request);
      const file = await openFile(context, request);
      try {
        return await writeRows(context, handle, file, request);
      } finally {
        await file?.discard();
      }
    };
    const written = await withDatabase(context, work, { statementTimeoutMs: VIEW_STATEMENT_MS });
    const { rows, facts, isCut } = written;
    const said = `${count(rows, 'row')} of ${name}${range === null ? '' : `, ${showDays(range)}`}`;
    output.printJson({ view: name, ...range, format, file: out, rows, ...facts });
    if (facts !== null) {
      const bytes = count(facts.bytes, 'byte');
      output.print(line`${said}, in ${out ?? ''}: ${bytes}.`, `sha256 ${facts.sha256}`);
    } else if (!isCut) output.remark(`${said}.`);
    return EXIT.ok;
  },
});

/** Returns the file; null for stdout, also by its names in /dev, where a file in its place would lose a redirection. */
function readPath(path: string | null): string | null {
  if (path?.trim() === '')
    throw new SettingsError('--out is empty', { hint: 'name a file, or leave out --out' });
  return path === null || ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'].includes(path) ? null : path;
}

/** Returns the days of the file; null for a view without days. */
function readRange(
  name: string,
  { date }: ExportedView,
  { from, to }: { readonly from: UsageDay | null; readonly to: UsageDay | null },
): DayRange | null {
  if (date === null) {
    if (from === null && to === null) return null;
    throw new SettingsError(`--from and --to: the rows of ${name} are of no day`, { hint: 'leave them out' });
  }
  if (from === null || to === null) {
    throw new SettingsError(`${name} needs --from and --to, its first and last day`, {
      hint: 'e.g. --from 2026-10-01 --to 2026-10-31',
    });
  }
  if (from <= to) return { from, to };
  throw new SettingsError(`--from ${from} is later than --to ${to}`, { hint: 'both days are included' });
}

interface FileRequest extends ViewRequest {
  readonly format: FormatName;
  /** The file; null for stdout. */
  readonly out: string | null;
}

/** Returns the facts of the file, null for stdout, and whether its reader went away before the end. */
async function writeRows(
  context: CommandContext,
  handle: DatabaseHandle,
  file: WholeFile | null,
  request: FileRequest,
): Promise<{ rows: number; facts: FileFacts | null; isCut: boolean }> {
  const { output, signal } = context;
  const { view, columns, range } = request;
  const renderer = await createRenderer(request.format, columns);
  const dateAt = columns.findIndex(({ name }) => name === view.date);
  const progress = createProgress(context, 'day');
  let rows = 0;
  let isCut = false;
  const write = async (part: Part) => {
    if (file !== null) await file.write(part);
    else isCut = !(await output.writePart(part));
    return !isCut;
  };
  const take = async (chunk: readonly Row[]) => {
    rows += chunk.length;
    const last = chunk.at(-1)?.[dateAt];
    const done = range === null ? 0 : Math.max(0, daysFrom(range.from, last ?? range.from));
    if (range !== null) progress.show({ planned: daysFrom(range.from, range.to) + 1, done });
    return await write(await renderer.add(chunk));
  };
  await write(renderer.begin());
  try {
    if (!isCut) await streamView(handle, request, { signal, take });
  } finally {
    progress.stop();
  }
  if (!isCut) await write(await renderer.end());
  signal.throwIfAborted();
  return { rows, facts: (await file?.finish()) ?? null, isCut };
}

/** Throws for a filter that nothing can match: it is a mistake, and would leave an empty file. */
async function requireKnownOrgs(
  { db }: DatabaseHandle,
  { name, columns, orgIds }: FileRequest,
): Promise<void> {
  if (orgIds === null) return;
  if (!columns.some((column) => column.name === 'org_id')) {
    throw new SettingsError(`--org: ${name} has no rows by organization`, { hint: 'leave out --org' });
  }
  const known = await readInstancesOf(db, orgIds);
  const unknown = orgIds.filter((orgId) => !known.has(orgId));
  if (unknown.length === 0) return;
  throw new SettingsError(`--org ${unknown.join(', ')}: no such organization was ever seen`, {
    hint: 'correct the id; names and ids are in losant_usage.organizations',
  });
}

/** Returns null for stdout. Throws SettingsError for a terminal that cannot show the format. */
async function openFile(
  { output, newId }: CommandContext,
  { out, format }: FileRequest,
): Promise<WholeFile | null> {
  if (out !== null) return await WholeFile.create(out, newId());
  if (format !== 'parquet' || !output.isShown) return null;
  throw new SettingsError('A Parquet file is not text, which a terminal could show', {
    hint: 'name the file with --out',
  });
}
