import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import {
  type FormatName,
  formatNames,
  formats,
  type Part,
  type Renderer,
  type Row,
} from '../files/formats.ts';
import { createWholeFile } from '../files/whole-file.ts';
import {
  type ExportedView,
  exportedView,
  exportedViewNames,
  readViewColumns,
  streamView,
  VIEW_STATEMENT_MS,
  type ViewRequest,
} from '../queries/view-rows.ts';
import { choice } from '../settings/kinds.ts';
import { count, showDays } from '../terminal/words.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { day, optional, required, requireOrder, text } from './options.ts';

export const exportFile = defineCommand({
  needs: ['database'],
  options: {
    view: required('NAME', 'the view, e.g. daily_usage', choice(exportedViewNames)),
    from: optional('YYYY-MM-DD', 'first day; of months, those that hold it', day),
    to: optional('YYYY-MM-DD', 'last day, included', day),
    format: required('NAME', formatNames.join(', '), choice(formatNames)),
    out: optional('FILE', 'the file, replaced once the new one is complete', text, 'stdout'),
  },
  async run(context, { view: name, from, to, format, out: path }) {
    const { output, stdout } = context;
    // The command line has checked the name.
    const view = exportedView(name) as ExportedView;
    const range = readRange(name, view, { from, to });
    const out = readPath(path);
    if (out === null && (output.json || (format === 'parquet' && stdout.isTTY === true))) {
      const message = output.json
        ? '--json describes a file, and the file itself would go to stdout'
        : 'A Parquet file is not text, which a terminal could show';
      throw new SettingsError(message, { hint: 'name the file with --out' });
    }
    await using handle = await openSchema(context, { statementTimeoutMs: VIEW_STATEMENT_MS });
    const columns = await readViewColumns(handle.db, name);
    const request = { name, view, columns, range };
    const { rows, facts, isCut } = await writeView(context, handle, { request, format, out });
    const what = `${count(rows, 'row')} of ${name}${range === null ? '' : `, ${showDays(range)}`}`;
    if (facts === null) {
      if (!isCut) output.remark(`${what}.`);
      return {};
    }
    return {
      document: { view: name, ...range, format, file: out, rows, ...facts },
      lines: [`${what}, in ${out}: ${count(facts.bytes, 'byte')}.`, `sha256 ${facts.sha256}`],
    };
  },
});

/** Returns the file; null for stdout, also by its names in /dev, where a file in its place would lose a redirection. */
function readPath(path: string | null): string | null {
  if (path?.trim() === '') {
    throw new SettingsError('--out is empty', { hint: 'name a file, or leave out --out' });
  }
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
  requireOrder({ from, to }, ['--from', '--to']);
  return { from, to };
}

interface Target {
  readonly request: ViewRequest;
  readonly format: FormatName;
  readonly out: string | null;
}

/** Returns the number of rows, what a file has, and whether the reader of stdout went away before the end. */
async function writeView(
  { signal, output, newId }: CommandContext,
  handle: DatabaseHandle,
  { request, format, out }: Target,
) {
  const renderer: Renderer = formats[format](request.columns);
  const file = out === null ? null : await createWholeFile(out, newId());
  let rows = 0;
  let isCut = false;
  const write = async (part: Part) => {
    if (file === null) isCut = !(await output.writePart(part));
    else await file.write(part);
    return !isCut;
  };
  const take = async (chunk: readonly Row[]) => {
    rows += chunk.length;
    return await write(await renderer.add(chunk));
  };
  try {
    if (await write(renderer.begin())) await streamView(handle, request, { signal, take });
    signal.throwIfAborted();
    if (!isCut) await write(await renderer.end());
    return { rows, isCut, facts: (await file?.finish()) ?? null };
  } finally {
    await file?.discard();
  }
}
