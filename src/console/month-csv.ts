import type { HttpBindings } from '@hono/node-server';
import { createCsv } from '../files/csv.ts';
import type { Column, Part, Row } from '../files/formats.ts';
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
 * Streams every number of the month by organization, row by row, as they are taken. Rejects if the
 * first row does not come in time. A failure after it breaks the answer off, so that a part is never
 * taken for the complete file.
 */
async function streamMonth(
  { read, streamRows, logger }: PageSources,
  { month, cutOff }: { readonly month: Month; readonly cutOff: () => void },
): Promise<ReadableStream<Uint8Array>> {
  const columns = await read((db) => readViewColumns(db, VIEW));
  const { from, to } = daysOfMonth(month);
  const csv = createCsv(columns);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const begun = Promise.withResolvers<void>();
  let hasBegun = false;
  const write = async (part: Part) => {
    hasBegun = true;
    begun.resolve();
    await writer.write(typeof part === 'string' ? new TextEncoder().encode(part) : part);
  };
  const take = async (rows: readonly Row[]) => {
    const wanted = rows.filter((row) => isInvoicedWith(row, { columns, from, to }));
    if (!hasBegun) await write(csv.begin());
    await write(await csv.add(wanted));
    return true;
  };
  const view = exportedView(VIEW) as ExportedView;
  const request = { name: VIEW, view, columns, range: { from, to }, instanceIds: null, orgIds: null };
  streamRows(request, take)
    .then(async () => {
      if (!hasBegun) await write(csv.begin());
      await writer.close();
    })
    .catch((error: unknown) => {
      if (!hasBegun) return begun.reject(error);
      logger.info({ err: error }, 'file of a month broken off');
      cutOff();
    });
  await begun.promise;
  return readable;
}

/**
 * Whether a period is invoiced with the month: the month itself, or a billing period of Losant that
 * ends in it. One that only begins in it belongs to another month.
 */
function isInvoicedWith(
  row: Row,
  { columns, from, to }: { readonly columns: readonly Column[]; readonly from: string; readonly to: string },
): boolean {
  const end = row[columns.findIndex(({ name }) => name === 'period_end')] ?? '';
  return end >= from && end <= to;
}
