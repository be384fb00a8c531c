import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { createRenderer, type FormatName, formatNames, type Part, type Row } from '../files/formats.ts';
import { type FileFacts, WholeFile } from '../files/whole-file.ts';
import { readInstanceNames, readUnknownOrgs } from '../queries/organizations.ts';
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
import { requireKnownInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { choiceOption, dayOption, idsOption, required, requireOrder, textOption } from './options.ts';

export const exportFile = defineCommand({
  needs: ['database'],
  whenInterrupted: 'nothing was written; a file that was there before is as it was',
  options: {
    view: required(choiceOption('views', 'the view', exportedViewNames)),
    from: dayOption('first day; of months and periods, those that hold it; required for views of days'),
    to: dayOption('last day, included; required with --from'),
    format: required(choiceOption('formats', 'the format', formatNames)),
    out: textOption('FILE', 'the file, which is replaced once the new one is complete; - is stdout', '-'),
    instance: idsOption('instance', 'only these instances'),
    org: idsOption('organization', 'only these organizations'),
  },
  examples: ({ lastMonth: { name, from, to }, twoMonthsAgo, yesterday }) => ({
    [`export --view monthly_usage --from ${from} --to ${to} --format csv --out ${name}.csv`]:
      'last month of every organization, for a spreadsheet',
    [`export --view daily_usage --from ${twoMonthsAgo} --to ${yesterday} --format parquet --out days.parquet`]:
      'two months of days, for a data lake',
    [`export --view coverage_gaps --from ${from} --to ${to} --format ndjson | jq .reason`]:
      'the gaps of a month, for a program',
  }),
  async run(context, { view: name, from, to, format: given, out: path, instance, org }) {
    const { output } = context;
    // The command line has checked both choices.
    const [view, format] = [exportedView(name) as ExportedView, given as FormatName];
    const range = readRange(name, view, { from, to });
    const out = path === '-' ? null : path;
    if (out === null && output.json) {
      throw new SettingsError('--json describes a file, and the file itself would go to stdout', {
        hint: 'name the file with --out, or leave out --json',
      });
    }
    const work = async (handle: DatabaseHandle) => {
      const columns = await readViewColumns(handle.db, name);
      const request = { name, view, columns, range, instanceIds: instance, orgIds: org, format, out };
      await requireKnown(handle, request);
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

/** `readRange` returns the days of the file; null for a view without days. */
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
  requireOrder({ from, to });
  return { from, to };
}

interface FileRequest extends ViewRequest {
  readonly format: FormatName;
  /** The file; null for stdout. */
  readonly out: string | null;
}

/** The rate for a first estimate; the time depends on the number of days. */
const DAYS_PER_SECOND = 5;

/** `writeRows` returns the facts of the file, null for stdout, and whether its reader went away before the end. */
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
  const progress = createProgress(context, { rate: DAYS_PER_SECOND, noun: 'day' });
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
    if (range !== null) progress.show(Math.max(0, daysFrom(range.from, last ?? range.from)));
    return await write(await renderer.add(chunk));
  };
  await write(renderer.begin());
  progress.start(range === null ? 1 : daysFrom(range.from, range.to) + 1);
  try {
    if (!isCut) await streamView(handle, request, { signal, take });
  } finally {
    progress.stop();
  }
  if (!isCut) await write(await renderer.end());
  signal.throwIfAborted();
  return { rows, facts: (await file?.finish()) ?? null, isCut };
}

/** `requireKnown` throws for a filter that nothing can match: it is a mistake, and would leave an empty file. */
async function requireKnown(
  { db }: DatabaseHandle,
  { name, view, columns, instanceIds, orgIds }: FileRequest,
): Promise<void> {
  const orgColumn = view.org ?? 'org_id';
  if (orgIds !== null && !columns.some((column) => column.name === orgColumn)) {
    throw new SettingsError(`--org: ${name} has no rows by organization`, { hint: 'leave out --org' });
  }
  if (instanceIds !== null) requireKnownInstances(instanceIds, [...(await readInstanceNames(db)).keys()]);
  const orgs = await readUnknownOrgs(db, orgIds ?? []);
  if (orgs.length === 0) return;
  throw new SettingsError(`--org ${orgs.join(', ')}: no such organization was ever seen`, {
    hint: 'correct the id; names and ids are in losant_usage.organizations',
  });
}

/** `openFile` returns null for stdout. Throws SettingsError for a terminal that cannot show the format. */
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
