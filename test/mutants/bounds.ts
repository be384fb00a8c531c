/** Defects in what bounds transactions, requests and memory. */
import { plant } from './mutant.ts';

const PAGES = 'test/ledger/pages.test.ts';
const REQUESTS = 'test/loading/requests.test.ts';
const SERVED = 'test/server/pages.test.ts';
const LISTS = 'test/worker/lists.test.ts';

export const boundMutants = [
  plant(
    { file: 'src/ledger/lease.ts', test: PAGES, only: 'a backfill' },
    {
      'A transaction takes no more organizations than make 20,000 cells': ['or p.cells <=', 'or 1 <='],
      'A transaction takes one organization, however many cells it has': ['where p.position = 1 or', 'where'],
    },
  ),
  plant(
    { file: 'src/ledger/lease.ts', test: PAGES, only: 'are changed in transactions' },
    {
      'Cells are marked until none is left': [
        'while ((await inTransaction(ledger, (trx) => work(trx, transactionCells))) > 0);',
        'await inTransaction(ledger, (trx) => work(trx, transactionCells));',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: PAGES, only: 'are changed in transactions' },
    {
      'A transaction marks at most 20,000 cells': ['limit ${limit ?? null}::integer', ''],
      'A new policy takes as many organizations at a time as make 20,000 cells': [
        '${streams.length}::integer * (${to}::date + 1 - greatest(o.created_on, ${from}::date))',
        '${streams.length * 0}::integer * (${to}::date + 1 - greatest(o.created_on, ${from}::date))',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: PAGES, only: 'are changed in transactions' },
    {
      'A waiver takes as many organizations at a time as make 20,000 cells': ['- 1)` }, streamNames)', '- 1)` }, [])'],
    },
  ),
  plant(
    {
      file: 'src/ledger/expected.ts',
      test: 'test/ledger/expected.test.ts',
      only: 'killed between two pages',
    },
    {
      'Days since a pause are created for as many organizations at a time as make 20,000 cells': [
        '(select sum(least(t.last_day + 1, losant_usage_internal.today()) - t.next_day)',
        '(select sum(0)',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/ledger/expected.test.ts', only: 'killed between two pages' },
    {
      'Tracks begin for as many organizations at a time as make 20,000 cells': [
        'return sql`${streams.length}::integer *',
        'return sql`${streams.length * 0}::integer *',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: PAGES, only: 'the horizon moves' },
    {
      'The horizon moves after all cells past it are marked': [
        'await change({\n    set: unavailableColumns(pastHorizon),',
        `await updateInstance(ledger, { horizon_day: horizon });
  await change({
    set: unavailableColumns(pastHorizon),`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: PAGES, only: 'a page of due cells' },
    {
      'A page of due cells has whole organizations': [
        'return rows.filter(({ orgId }) => orgId !== last?.orgId);',
        'return rows;',
      ],
      'A page of due cells is bounded': ['order by c.org_id limit ${limit}`', 'order by c.org_id`'],
      'A page of due cells is empty only at the end': ['first?.orgId === last?.orgId', 'first === undefined'],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: REQUESTS, only: 'does not respond' },
    {
      'A pass reads a cell once': ['::timestamptz) is not false`;', '::timestamptz) is not false or true`;'],
    },
  ),
  plant(
    { file: 'src/loading/pipeline.ts', test: REQUESTS, only: 'a backfill of' },
    {
      'A request of recent days includes older ones': ['Math.max(...streams.map(({ maxDays }) => maxDays)) - 1', '0'],
      'Older days are requested with the recent ones only if they fit into their requests': [
        'const slices = planSlices(cells);',
        'const slices = planSlices(cells.filter(({ day }) => !isRecent || day >= oldestRecentDay));',
      ],
    },
  ),
  plant(
    { file: 'src/loading/pipeline.ts', test: REQUESTS, only: 'does not respond' },
    {
      'What was not requested is reported': ['tally.addUnreadSlice(slice, refusal ?', 'void (slice, refusal ?'],
    },
  ),
  plant(
    { file: 'src/loading/extract.ts', test: REQUESTS, only: 'does not respond' },
    {
      'After one half of a window that timed out, the other is not requested': [
        'timeout ? toFailedResult(',
        'timeout === undefined ? toFailedResult(',
      ],
    },
  ),
  plant(
    { file: 'src/loading/refusals.ts', test: 'test/loading/timeouts.test.ts' },
    {
      'A stream is given up after two timeouts in a row': ['const MAX_TIMEOUTS = 2;', 'const MAX_TIMEOUTS = 200;'],
      'A response ends the count of timeouts': ['queue.isResponding ? 0 :', 'queue.isResponding ? queue.timeouts :'],
      'Slices wait until one has responded': ['if (queue.isResponding) startNext();', 'startNext();'],
      'Slices of a stream that responds do not wait': ['if (queue.isResponding) startNext();', ''],
    },
  ),
  plant(
    { file: 'src/loading/report.ts', test: 'test/commands/rendered.test.ts', only: 'counted once' },
    {
      'A cell that is not read in two passes is counted once': [
        'if (this.#cellFailures.has(cellId(cell))) continue;',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/queries/view-rows.ts', test: LISTS, only: 'downloads' },
    {
      'A file of the console is streamed': ['const CHUNK_ROWS = 250;', 'const CHUNK_ROWS = 250_000;'],
    },
  ),
  plant(
    { file: 'src/console/table.ts', test: LISTS, only: 'nobody reads' },
    {
      'A download that is broken off by its reader is no failure': ['file.closed.catch(end);', ''],
      'A download that is broken off ends its query': ['new Response(readable, {', 'new Response(readable.tee()[0], {'],
    },
  ),
  plant(
    { file: 'src/console/table.ts', test: SERVED, only: 'broken off before' },
    {
      'A download that is broken off before it begins ends its query': [
        `signal.addEventListener('abort', end, { once: true });`,
        '',
      ],
    },
  ),
  plant(
    { file: 'src/server/listen.ts', test: SERVED, only: 'a file may take long' },
    {
      'A response may take longer to begin than a connection may be idle': [
        'if (response.headersSent) request',
        'request',
      ],
      'A download that nobody reads is dropped': ['if (response.headersSent) request', 'if (false) request'],
    },
  ),
  plant(
    { file: 'src/console/pages.ts', test: LISTS, only: 'nobody reads' },
    {
      'The headers of a file are sent without its query': [
        `if (c.req.method === 'HEAD') await content.body?.cancel();`,
        '',
      ],
    },
  ),
  plant(
    { file: 'src/cli/gaps.ts', test: LISTS, only: 'gaps' },
    {
      'The text of gaps shows the first 100 ranges of a cause': [
        'cause.ranges.length < MAX_TABLE_ROWS',
        'cause.ranges.length < 100 * MAX_TABLE_ROWS',
      ],
    },
  ),
].flat();
