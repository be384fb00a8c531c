import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import { writeAtomicFile } from '../files/atomic-file.ts';
import { type FormatName, formatNames, formats } from '../files/formats.ts';
import {
  EXPORTED_VIEWS,
  type ExportedView,
  readViewColumns,
  streamView,
  VIEW_STATEMENT_MS,
  type ViewRequest,
} from '../queries/view-rows.ts';
import { choice } from '../settings/kinds.ts';
import { count, joinWithOr, showDays } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { day, optionalOption, requiredOption, requireOrder, text } from './options.ts';

export const exportFile = defineCommand({
  needs: ['database'],
  options: {
    view: requiredOption('NAME', 'the view, e.g. daily_usage', choice(Object.keys(EXPORTED_VIEWS))),
    from: optionalOption('YYYY-MM-DD', 'first day; months and billing periods that contain it are included', day),
    to: optionalOption('YYYY-MM-DD', 'last day, included', day),
    format: requiredOption('NAME', joinWithOr(formatNames), choice(formatNames)),
    out: optionalOption(
      'FILE',
      'output file; an existing one is replaced once the new one is complete',
      text,
      'stdout',
    ),
  },
  async run(context, { view: name, from, to, format, out: path }) {
    const { output, stdout } = context;
    // The command line has checked the name.
    const view = EXPORTED_VIEWS[name] as ExportedView;
    const range = toRange(name, view, { from, to });
    const out = toFilePath(path);
    if (out === null && (output.json || (format === 'parquet' && stdout.isTTY === true))) {
      const message = output.json
        ? '--json cannot be combined with writing the file to stdout'
        : 'Parquet is binary and cannot be shown on a terminal';
      throw new SettingsError(message, { hint: 'use --out FILE' });
    }
    await using handle = await openSchema(context, 'reads', { statementTimeoutMs: VIEW_STATEMENT_MS });
    const columns = await readViewColumns(handle.db, name);
    const request = { name, view, columns, range };
    const { rows, facts, isCut } = await writeView(context, handle, { request, format, out });
    const summary = `${count(rows, 'row')} of ${name}${range === null ? '' : `, ${showDays(range)}`}`;
    if (facts === null) {
      if (!isCut) output.remark(`${summary}.`);
      return {};
    }
    return {
      document: { view: name, ...range, format, file: out, rows, ...facts },
      lines: [`Wrote ${summary} to ${out} (${count(facts.bytes, 'byte')}).`, `sha256 ${facts.sha256}`],
    };
  },
});

/** Returns null for stdout. `/dev/stdout` is stdout too: replacing it by a file would break a redirection. */
function toFilePath(path: string | null): string | null {
  if (path?.trim() === '') {
    throw new SettingsError('--out is empty', { hint: 'give a file name, or omit --out' });
  }
  return path === null || ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'].includes(path) ? null : path;
}

function toRange(name: string, { date }: ExportedView, { from, to }: { from: UsageDay | null; to: UsageDay | null }) {
  if (date === null) {
    if (from === null && to === null) return null;
    throw new SettingsError(`${name} has no days, so --from and --to do not apply`, { hint: 'omit them' });
  }
  if (from === null || to === null) {
    throw new SettingsError(`${name} requires --from and --to`, { hint: 'e.g. --from 2026-10-01 --to 2026-10-31' });
  }
  requireOrder({ from, to }, ['--from', '--to']);
  return { from, to };
}

/** Returns the number of rows, the size and hash of a file, and whether the reader of stdout closed it early. */
async function writeView(
  { signal, output, newId }: CommandContext,
  handle: DatabaseHandle,
  { request, format, out }: { request: ViewRequest; format: FormatName; out: string | null },
) {
  let rows = 0;
  let isCut = false;
  const pages = async function* () {
    for await (const page of streamView(handle, request, signal)) {
      rows += page.length;
      yield page;
    }
  };
  const parts = formats[format](request.columns, pages());
  if (out !== null) {
    const facts = await writeAtomicFile(out, newId(), parts);
    return { rows, isCut, facts };
  }
  for await (const part of parts) {
    isCut = !(await output.writePart(part));
    if (isCut) break;
  }
  signal.throwIfAborted();
  return { rows, isCut, facts: null };
}
