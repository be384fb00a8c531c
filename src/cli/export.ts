import type { DatabaseHandle } from '../database/connect/open.ts';
import { type ExportedView, exportedView } from '../database/read/exported-views.ts';
import { readInstanceNames } from '../database/read/instances.ts';
import {
  readUnknownOrgs,
  readViewColumns,
  streamView,
  VIEW_STATEMENT_MS,
} from '../database/read/view-rows.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import type { Column, Row } from '../files/column.ts';
import { createRenderer, type FormatName } from '../files/formats.ts';
import type { FileFacts } from '../files/whole-file.ts';
import { createProgress } from '../terminal/progress.ts';
import { line } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { type DayRange, daysFrom } from '../usage/day.ts';
import type { CommandContext } from './command.ts';
import { requireKnownInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { openTarget, type Target } from './x-export-target.ts';

export interface FileRequest {
  /** The view. */
  readonly name: string;
  readonly range: DayRange;
  readonly format: string;
  /** The file; null: stdout. */
  readonly out: string | null;
  readonly instanceIds: readonly string[] | null;
  readonly orgIds: readonly string[] | null;
}

interface Written {
  readonly rows: number;
  /** Null if it went to stdout. */
  readonly facts: FileFacts | null;
  /** Whether the reader of stdout went away before the end. */
  readonly isCut: boolean;
}

/** For a first estimate; the time goes by the days. */
const DAYS_PER_SECOND = 5;

/** Writes a view to a file or to stdout and says so. Returns the exit code. */
export async function writeViewFile(context: CommandContext, request: FileRequest): Promise<number> {
  const { output } = context;
  // Both are choices of the command line.
  const view = exportedView(request.name) as ExportedView;
  const format = request.format as FormatName;
  const written = await withDatabase(
    context,
    async (handle) => {
      const columns = await readViewColumns(handle.db, request.name);
      await requireKnown(
        handle,
        request,
        columns.some(({ name }) => name === (view.org ?? 'org_id')),
      );
      const target = await openTarget(context, { out: request.out, format });
      try {
        return await writeRows({ context, handle, target }, { ...request, view, columns, format });
      } finally {
        await target.discard();
      }
    },
    { statementTimeoutMs: VIEW_STATEMENT_MS },
  );
  const { rows, facts, isCut } = written;
  if (output.json) {
    const { name, range, out } = request;
    output.printJson({ view: name, ...range, format, file: out, rows, ...facts });
  } else if (!isCut) {
    const said = `${count(rows, 'row')} of ${request.name}, ${showDays(request.range)}`;
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
  { context: { output, hostNow, signal }, handle, target }: Writing,
  request: Omit<FileRequest, 'format'> & {
    readonly view: ExportedView;
    readonly columns: readonly Column[];
    readonly format: FormatName;
  },
): Promise<Written> {
  const { view, columns, range } = request;
  const renderer = await createRenderer(request.format, columns);
  const dateAt = columns.findIndex(({ name }) => name === view.date);
  const progress = createProgress({ output, now: hostNow, rate: DAYS_PER_SECOND, noun: 'day' });
  let rows = 0;
  let isCut = !(await target.write(renderer.begin()));
  const take = async (chunk: readonly Row[]) => {
    rows += chunk.length;
    progress.show(Math.max(0, daysFrom(range.from, chunk.at(-1)?.[dateAt] ?? range.from)));
    isCut = !(await target.write(await renderer.add(chunk)));
    return !isCut;
  };
  progress.start(daysFrom(range.from, range.to) + 1);
  try {
    if (!isCut) await streamView(handle, request, { signal, take });
  } finally {
    progress.stop();
  }
  if (!isCut) isCut = !(await target.write(await renderer.end()));
  signal.throwIfAborted();
  return { rows, facts: await target.finish(), isCut };
}

/** A filter that nothing can match is a slip, and would leave an empty file. */
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
