import type { HttpBindings } from '@hono/node-server';
import { renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import type { Row } from '../files/formats.ts';
import { type ExportedView, exportedView, readViewColumns } from '../queries/view-rows.ts';
import { daysOfMonth, type Month, parseMonth } from '../usage/period.ts';
import { renderAwayPage } from './page.ts';
import type { ConsolePage, PageSources } from './sources.ts';

const VIEW = 'period_usage';

export const monthFilePage: ConsolePage = {
  path: '/months/:month/usage.csv',
  open: (sources) => async (c) => {
    const month = parseMonth(c.req.param('month') ?? '');
    if (month === null) return c.notFound();
    // A HEAD request takes no rows.
    if (c.req.method === 'HEAD') return c.body(null);
    c.header('content-type', 'text/csv; charset=utf-8');
    // Otherwise the server would buffer the complete answer and, on a failure, replace it by its message.
    c.header('transfer-encoding', 'chunked');
    c.header('content-disposition', `attachment; filename="usage-${month}.csv"`);
    try {
      const { outgoing } = c.env as HttpBindings;
      return c.body(await streamMonth(sources, { month, cutOff: () => void outgoing.destroy() }));
    } catch (error) {
      sources.logger.warn({ err: error }, 'month not read for a file');
      c.header('content-disposition', undefined);
      c.header('transfer-encoding', undefined);
      return c.html(renderAwayPage({ title: 'Months', path: '/months' }), 503);
    }
  },
};

/**
 * `streamMonth` streams every number of the month by organization, row by row, as they are taken. Rejects if the
 * first row does not come in time. A failure after it breaks the answer off, so that a part is never
 * taken for the complete file.
 */
async function streamMonth(
  { read, streamRows, logger }: PageSources,
  { month, cutOff }: { readonly month: Month; readonly cutOff: () => void },
): Promise<ReadableStream<Uint8Array>> {
  const columns = await read((db) => readViewColumns(db, VIEW));
  const range = daysOfMonth(month);
  const endAt = columns.findIndex(({ name }) => name === 'period_end');
  // A billing period of Losant that only begins in the month belongs to another one.
  const endsInMonth = (row: Row) => range.from <= (row[endAt] ?? '') && (row[endAt] ?? '') <= range.to;
  const cells = columns.map(({ name, kind }) => ({ name, isText: kind === 'text' }));
  const { readable, writable } = new TextEncoderStream();
  const writer = writable.getWriter();
  const begun = Promise.withResolvers<void>();
  let head = renderCsvHeader(cells);
  const write = async (text: string) => {
    begun.resolve();
    await writer.write(`${head}${text}`);
    head = '';
    return true;
  };
  const view = exportedView(VIEW) as ExportedView;
  const request = { name: VIEW, view, columns, range, instanceIds: null, orgIds: null };
  const ended = streamRows(request, (rows) => write(renderCsvRows(cells, rows.filter(endsInMonth))))
    .then(() => write(''))
    .then(() => writer.close());
  await Promise.race([begun.promise, ended]);
  ended.catch((error: unknown) => {
    logger.info({ err: error }, 'file of a month broken off');
    cutOff();
  });
  return readable;
}
