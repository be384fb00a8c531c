/** Each figure of the console has its own state: it is being read, known, old or failed, and says so in its place. */
import { DatabaseError } from 'pg';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { type ReadPage, ReadTimeoutError } from '../../src/console/cached-reads.ts';
import type { DatabaseView, PageSources } from '../../src/console/sources.ts';
import type { Health } from '../../src/queries/health.ts';
import { NOW, textOf, useWorld } from './world.ts';

const world = useWorld();

/** Of each read in turn: real by default. */
let reads: ('real' | 'hangs' | 'fails')[] = [];
let nowMs = 0;

const readInTurn: ReadPage = async (query) => {
  const read = reads.shift() ?? 'real';
  if (read === 'hangs') return await new Promise<never>(() => {});
  if (read === 'fails') throw new ReadTimeoutError('the query took more than 60 s');
  return await query(world.handle.db);
};

function serve(sources: Partial<PageSources> = {}) {
  const { get } = world.serve({ readInTurn, now: () => nowMs, ...sources });
  return { get, text: async (path: string) => textOf(await (await get(path)).text()) };
}

/** Serves the pages with a state of the database. */
const serveView = (view: DatabaseView, sources: Partial<PageSources> = {}) =>
  serve({ ...sources, database: () => Promise.resolve(view) });
const serveHealth = (change: Partial<Health>) =>
  serveView({ isUp: true, snapshot: { atMs: NOW, value: { ...world.health, ...change } } });

beforeEach(() => {
  nowMs = NOW;
  reads = [];
});

/** Payloads are read first, then devices, then notebook minutes, months and differences. */
describe('Home', () => {
  it('says of each figure that is still being read for how long, and shows the others', async () => {
    reads = ['hangs'];
    const pages = serve();
    await expect.poll(() => pages.text('/')).toMatch(/Billable payloads Counting… .* Devices 70/);
    nowMs += 14_000;
    expect(await pages.text('/')).toMatch(/Billable payloads Counting… for 14 s .* Devices 70/);
  });

  it('says of a figure that failed what failed and why', async () => {
    reads = ['real', 'fails'];
    const pages = serve();
    await expect.poll(() => pages.text('/')).toMatch(/Billable payloads 92,570 .*Notebook minutes 955/);
    reads = ['real', 'real', 'real', 'fails', 'fails'];
    const home = await serve().text('/');
    expect(home).toContain('Months to bill The months could not be read: the query took more than 60 s.');
    expect(home).toContain('Agreement with Losant The comparison could not be read: the query took more than 60 s.');
  });

  it('shows an old figure with its age, and why there is no newer one', async () => {
    const pages = serve();
    await expect.poll(() => pages.text('/')).toContain('92,570');
    nowMs += 600_000;
    reads = ['fails'];
    const reason = 'The billable payloads could not be read: the query took more than 60 s.';
    expect(await pages.text('/')).toMatch(new RegExp(`92,570 .* As of 10 min ago\\. ${reason}`));
  });

  it('reloads soon while something is being counted, and not because something failed', async () => {
    const reload = async (read: 'hangs' | 'fails') => {
      reads = Array.from({ length: 6 }, () => read);
      return /data-reload-seconds="(\d+)"/.exec(await (await serve().get('/')).text())?.[1];
    };
    expect(await reload('hangs')).toBe('3');
    expect(await reload('fails')).toBe('60');
  });

  it('gives a status the day on which its read began, and its age', async () => {
    nowMs += 13 * 3_600_000;
    const home = await serve().text('/');
    expect(home).toMatch(/^\s*Friday 27 November incomplete/);
    expect(home).toContain('as of 13 h ago; refreshing it is slow');
  });

  it.for([
    [0, {}, 'nothing expected No cells are expected'],
    [5, { waiting: 5 }, 'not read yet 0 of 5 expected cells stored, 5 waiting'],
    [5, { waiting: 2 }, 'in progress 3 of 5 expected cells stored, 2 waiting'],
    [5, {}, 'complete 5 of 5 expected cells stored'],
    [5, { unavailable: 3 }, 'complete, 3 unavailable 2 of 5 expected cells stored, 3 unavailable'],
    [5, { unavailable: 3, waiting: 1 }, 'in progress 1 of 5 expected cells stored, 3 unavailable, 1 waiting'],
    [5, { missing: 1, unavailable: 1 }, 'incomplete 3 of 5 expected cells stored, 1 missing, 1 unavailable'],
    [5, { in_doubt: 1 }, 'incomplete 5 of 5 expected cells stored, 1 in doubt'],
  ] as const)('says of %i cells with %j: %s', async ([yesterdayExpected, counts, expected]) => {
    const yesterday = { waiting: 0, unavailable: 0, in_doubt: 0, missing: 0, ...counts };
    const streams = world.health.streams.slice(0, 1).map((stream) => ({ ...stream, yesterdayExpected, yesterday }));
    const response = await serveHealth({ streams }).get('/');
    const page = await response.text();
    expect(textOf(page)).toContain(` Friday 27 November ${expected} `);
    // Green means complete, and nothing else is green.
    expect(page.slice(0, page.indexOf('</h1>')).includes('pill good')).toBe(expected.startsWith('complete 5'));
  });

  it('says that the first run is in progress, whichever process runs it, and not that nothing was loaded', async () => {
    const homeWith = async (leaseAcquiredAt: string | null) => {
      const instance = world.health.instance && { ...world.health.instance, lastRunAt: null, leaseAcquiredAt };
      return await serveHealth({ instance }).text('/');
    };
    expect(await homeWith('2026-11-28T11:00:00.000Z')).toContain(' not read yet The first run is in progress ');
    expect(await homeWith(null)).toContain(' not read yet Nothing has been loaded yet ');
  });

  it('says why the status is unknown', async () => {
    const homeWith = (isUp: boolean, error?: unknown) => serveView({ isUp, snapshot: null, error }).text('/');
    expect(await homeWith(false)).toContain('unknown The status could not be read: the database is not responding');
    const error = new ReadTimeoutError('the query took more than 3 s');
    expect(await homeWith(true, error)).toContain('The status could not be read: the query took more than 3 s');
    expect(await homeWith(true)).toContain('The status is being read');
  });

  it('says why the last run failed, also while the database does not respond', async () => {
    const problem = { code: 'database_rejected', message: 'The password is wrong', hint: 'check DATABASE_URL' };
    const homeWith = async (failure: typeof problem | null) => {
      const status = () => ({ ...world.sources.status(), problem: failure });
      return await serveView({ isUp: false, snapshot: null }, { status }).text('/');
    };
    expect(await homeWith(problem)).toMatch(/Needs attention Run failed The password is wrong check DATABASE_URL/);
    expect(await homeWith(null)).not.toContain('Needs attention');
  });

  it('says that nothing needs attention only if that is known', async () => {
    expect(await serveHealth({ attention: [] }).text('/')).toContain('Needs attention Nothing needs attention.');
  });
});

test('the list of organizations does not wait for the month to date, and says why it is not known', async () => {
  reads = ['hangs'];
  expect(await serve().text('/organizations')).toMatch(/Counting….* 8 rows .* Deleted .*Silent/);
  reads = ['fails'];
  const failure = 'The month to date could not be read: the query took more than 60 s. 8 rows';
  await expect
    .poll(() =>
      serve()
        .text('/organizations')
        .finally(() => (reads = ['fails'])),
    )
    .toContain(failure);
});

test('each part of a month has its own state', async () => {
  const pages = serve();
  await expect.poll(() => pages.text('/billing/2026-09')).toContain('needs adjustment');
  nowMs += 600_000;
  // The months, the statements, what has to be adjusted, and the customers.
  reads = ['real', 'fails', 'real', 'hangs'];
  const month = await pages.text('/billing/2026-09?q=new');
  expect(month).toMatch(/To be adjusted .* Office /);
  expect(month).toContain('As of 10 min ago. The statements could not be read: the query took more than 60 s.');
  expect(month).toMatch(/ Customers .* Counting…/);
});

const LATE = new ReadTimeoutError('the query took more than 10 s');
const toDatabaseError = (code: string) =>
  Object.assign(new DatabaseError(code, 0, 'error'), { code, severity: 'ERROR' });

test.for([
  ['/organizations', LATE, 'The organizations could not be read: the query took more than 10 s.'],
  ['/billing/2026-09/customer?key=x', LATE, 'The statement could not be read: the query took more than 10 s.'],
  ['/reconciliation', LATE, 'The comparison could not be read: the query took more than 10 s.'],
  ['/gaps', toDatabaseError('57014'), 'The gaps could not be read: the query took too long.'],
  ['/gaps', toDatabaseError('57P01'), 'The gaps could not be read: the database is not responding.'],
  ['/gaps', toDatabaseError('42P01'), 'The gaps could not be read: the query failed; see the log.'],
] as const)('%s names what could not be read, and why: %s', async ([path, error, expected]) => {
  const response = await serve({ read: () => Promise.reject(error) }).get(path);
  expect(response.status).toBe(503);
  expect(textOf(await response.text())).toContain(expected);
});
