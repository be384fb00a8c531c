import type { DatabaseHandle } from '../database/open.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import {
  type Column,
  createRenderer,
  type FormatName,
  formatNames,
  type Part,
  type Row,
} from '../files/formats.ts';
import { type FileFacts, WholeFile } from '../files/whole-file.ts';
import { readInstanceNames, readUnknownOrgs } from '../queries/organizations.ts';
import {
  type ExportedView,
  exportedView,
  exportedViewNames,
  readViewColumns,
  streamView,
  VIEW_STATEMENT_MS,
} from '../queries/view-rows.ts';
import { createProgress } from '../terminal/progress.ts';
import { line } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { type DayRange, daysFrom, type UsageDay } from '../usage/day.ts';
import { type BaseContext, type CommandContext, defineCommand } from './command.ts';
import { requireKnownInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { choiceOption, dayOption, idsOption, pathOption, required, requireOrder } from './options.ts';

export const exportFile = defineCommand({
  needs: 'database',
  whenInterrupted: 'nothing was written; a file that was there before is as it was',
  options: {
    view: required(choiceOption('views', 'the view', exportedViewNames)),
    from: dayOption('first day; of months and periods, those that hold it; required for views of days'),
    to: dayOption('last day, included; required with --from'),
    format: required(choiceOption('formats', 'the format', formatNames)),
    out: {
      ...pathOption('FILE', 'the file, which is replaced once the new one is complete; - is stdout'),
      shownDefault: '-',
    },
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
  async run(context, { view: name, from, to, format, out, instance: instanceIds, org: orgIds }) {
    // The command line has checked both choices.
    const chosen = { view: exportedView(name) as ExportedView, format: format as FormatName };
    const range = readRange(name, chosen.view, { from, to });
    const file = out === '-' ? null : out;
    if (file === null && context.output.json) {
      throw new SettingsError('--json describes a file, and the file itself would go to stdout', {
        hint: 'name the file with --out, or leave out --json',
      });
    }
    return await writeViewFile(context, { name, range, out: file, instanceIds, orgIds, ...chosen });
  },
});

/**
 * `readRange` returns the days of the file; null for a view without days. Throws SettingsError for days
 * that it lacks, or cannot have.
 */
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

interface FileRequest {
  /** The name of the view. */
  readonly name: string;
  readonly view: ExportedView;
  /** The days; null for a view without days. */
  readonly range: DayRange | null;
  readonly format: FormatName;
  /** The file; null for stdout. */
  readonly out: string | null;
  readonly instanceIds: readonly string[] | null;
  readonly orgIds: readonly string[] | null;
}

interface Written {
  readonly rows: number;
  /** The facts of the file; null for stdout. */
  readonly facts: FileFacts | null;
  /** Whether the reader of stdout went away before the end. */
  readonly isCut: boolean;
}

/** The rate for a first estimate; the time depends on the number of days. */
const DAYS_PER_SECOND = 5;

/** `writeViewFile` writes a view to a file or to stdout and reports it. Returns the exit code. */
async function writeViewFile(context: CommandContext, request: FileRequest): Promise<number> {
  const { output } = context;
  const written = await withDatabase(
    context,
    async (handle) => {
      const columns = await readViewColumns(handle.db, request.name);
      const orgColumn = request.view.org ?? 'org_id';
      const hasOrg = columns.some(({ name }) => name === orgColumn);
      await requireKnown(handle, request, hasOrg);
      const target = await openTarget(context, request);
      try {
        return await writeRows({ context, handle, target }, { ...request, columns });
      } finally {
        await target.discard();
      }
    },
    { statementTimeoutMs: VIEW_STATEMENT_MS },
  );
  const { rows, facts, isCut } = written;
  if (output.json) {
    const { name, range, format, out } = request;
    output.printJson({ view: name, ...range, format, file: out, rows, ...facts });
  } else if (!isCut) {
    const days = request.range === null ? '' : `, ${showDays(request.range)}`;
    const said = `${count(rows, 'row')} of ${request.name}${days}`;
    if (facts === null) output.remark(`${said}.`);
    else {
      output.print(
        line`${said}, in ${request.out ?? ''}: ${count(facts.bytes, 'byte')}.`,
        `sha256 ${facts.sha256}`,
      );
    }
  }
  return EXIT.ok;
}

interface Writing {
  readonly context: CommandContext;
  readonly handle: DatabaseHandle;
  readonly target: Target;
}

async function writeRows(
  { context: { output, stderr, hostNow, signal }, handle, target }: Writing,
  request: FileRequest & { readonly columns: readonly Column[] },
): Promise<Written> {
  const { view, columns, range } = request;
  const renderer = await createRenderer(request.format, columns);
  const dateAt = columns.findIndex(({ name }) => name === view.date);
  const progress = createProgress({ output, stderr, now: hostNow, rate: DAYS_PER_SECOND, noun: 'day' });
  let rows = 0;
  let isCut = !(await target.write(renderer.begin()));
  const take = async (chunk: readonly Row[]) => {
    rows += chunk.length;
    if (range !== null)
      progress.show(Math.max(0, daysFrom(range.from, chunk.at(-1)?.[dateAt] ?? range.from)));
    isCut = !(await target.write(await renderer.add(chunk)));
    return !isCut;
  };
  progress.start(range === null ? 1 : daysFrom(range.from, range.to) + 1);
  try {
    if (!isCut) await streamView(handle, request, { signal, take });
  } finally {
    progress.stop();
  }
  if (!isCut) isCut = !(await target.write(await renderer.end()));
  signal.throwIfAborted();
  return { rows, facts: await target.finish(), isCut };
}

/** `requireKnown` throws for a filter that nothing can match: it is a mistake, and would leave an empty file. */
async function requireKnown(
  { db }: DatabaseHandle,
  { name, instanceIds, orgIds }: FileRequest,
  hasOrg: boolean,
): Promise<void> {
  if (orgIds !== null && !hasOrg) {
    throw new SettingsError(`--org: ${name} has no rows by organization`, { hint: 'leave out --org' });
  }
  if (instanceIds !== null) requireKnownInstances(instanceIds, [...(await readInstanceNames(db)).keys()]);
  const orgs = await readUnknownOrgs(db, orgIds ?? []);
  if (orgs.length === 0) return;
  throw new SettingsError(`--org ${orgs.join(', ')}: no such organization was ever seen`, {
    hint: 'correct the id; names and ids are in losant_usage.organizations',
  });
}

/** The destination of a file. */
interface Target {
  /** Writes a part. Resolves to false if nobody reads it any more. */
  write(part: Part): Promise<boolean>;
  /** Completes the file and returns its facts; null for stdout. */
  finish(): Promise<FileFacts | null>;
  /** Removes what was written, so that nothing half-written is left behind. */
  discard(): Promise<void>;
}

/**
 * `openTarget` opens the destination. Throws SettingsError for a file that cannot be written, and for a terminal
 * that cannot show the format.
 */
async function openTarget(
  { output, newId }: Pick<BaseContext, 'output' | 'newId'>,
  { out, format }: Pick<FileRequest, 'out' | 'format'>,
): Promise<Target> {
  if (out !== null) return await openFile(out, newId());
  if (format === 'parquet' && output.isShown) {
    throw new SettingsError('A Parquet file is not text, which a terminal could show', {
      hint: 'name the file with --out',
    });
  }
  return { write: output.writePart, finish: () => Promise.resolve(null), discard: () => Promise.resolve() };
}

async function openFile(path: string, id: string): Promise<Target> {
  const file = await WholeFile.create(path, id);
  return {
    write: async (part) => {
      await file.write(part);
      return true;
    },
    finish: () => file.finish(),
    discard: () => file.discard(),
  };
}
