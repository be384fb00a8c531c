/** Each count of the console has its own state: it is being read, known, old or failed, and says so in its place. */
import { DatabaseError } from 'pg';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { type ReadPage, ReadTimeoutError } from '../../src/console/cached-reads.ts';
import type { PageSources } from '../../src/console/sources.ts';
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

beforeEach(() => {
  nowMs = NOW;
  reads = [];
});

/** Payloads are read first, then devices, then notebook minutes. */
describe('Home', () => {
  it('says of each count that is still being read for how long, and shows the others', async () => {
    reads = ['hangs'];
    const pages = serve();
    const first = await pages.text('/');
    expect(first).toMatch(/Billable payloads Counting… .* Devices 70/);
    nowMs += 14_000;
    expect(await pages.text('/')).toMatch(/Billable payloads Counting… for 14 s .* Devices 70/);
  });

  it('says of a count that failed what failed and why', async () => {
    reads = ['real', 'fails'];
    const home = await serve().text('/');
    expect(home).toContain('Devices The devices could not be read: the query took more than 60 s.');
    expect(home).toMatch(/Billable payloads 92,570 .*Notebook minutes 955/);
  });

  it('shows an old count with its age, and why there is no newer one', async () => {
    const pages = serve();
    await pages.text('/');
    nowMs += 600_000;
    reads = ['fails'];
    const reason = 'The billable payloads could not be read: the query took more than 60 s.';
    expect(await pages.text('/')).toMatch(new RegExp(`92,570 .* As of 10 min ago\\. ${reason}`));
  });

  it('reloads soon while something is being counted, and not because something failed', async () => {
    const reload = async (read: 'hangs' | 'fails') => {
      reads = [read, read, read, read];
      return /data-reload-seconds="(\d+)"/.exec(await (await serve().get('/')).text())?.[1];
    };
    expect(await reload('hangs')).toBe('3');
    expect(await reload('fails')).toBe('60');
  });

  it('gives a status the day of which it is', async () => {
    // Midnight has passed since the status was read.
    nowMs += 13 * 3_600_000;
    const home = await serve().text('/');
    expect(home).toMatch(/^\s*Friday 27 November incomplete/);
    expect(home).toContain('as of 13 h ago; refreshing it is slow');
  });

  it('gives a status whose read has lasted beyond midnight the day on which it began', async () => {
    const { isUp, snapshot } = await world.sources.database();
    nowMs = Date.parse('2026-11-29T00:00:02Z');
    const read = { value: { ...(snapshot?.value as Health), at: '2026-11-28T23:59:58.000Z' }, atMs: nowMs };
    const database = () => Promise.resolve({ isUp, snapshot: read });
    expect(await serve({ database }).text('/')).toMatch(/^\s*Friday 27 November incomplete/);
  });

  it('counts the organizations only of instances that were read', async () => {
    const { isUp, snapshot } = await world.sources.database();
    const homeOf = async (neverReadSince: string | null) => {
      const instances = snapshot?.value.instances.map((instance) => ({ ...instance, neverReadSince })) ?? [];
      const value = { ...(snapshot?.value as Health), instances };
      return await serve({ database: () => Promise.resolve({ isUp, snapshot: { atMs: NOW, value } }) }).text('/');
    };
    expect(await homeOf(null)).toMatch(/ · \d organizations · /);
    expect(await homeOf('2026-11-28T00:00:00.000Z')).toMatch(/ not read yet Nothing has been loaded yet · next run /);
  });

  it.for([
    [0, 0, 'nothing expected No cells are expected'],
    [5, 5, 'not read yet 0 of 5 expected cells stored, 5 waiting'],
    [5, 2, 'in progress 3 of 5 expected cells stored, 2 waiting'],
  ] as const)('says of %i cells, of which %i are waiting: %s', async ([yesterdayExpected, waiting, expected]) => {
    const { isUp, snapshot } = await world.sources.database();
    const yesterday = { waiting, unavailable: 0, in_doubt: 0, missing: 0 };
    const instances = snapshot?.value.instances.map((instance) => {
      const streams = instance.streams.slice(0, 1).map((stream) => ({ ...stream, yesterdayExpected, yesterday }));
      return { ...instance, streams };
    });
    const value = { ...(snapshot?.value as Health), instances: instances ?? [] };
    const database = () => Promise.resolve({ isUp, snapshot: { atMs: NOW, value } });
    expect(await serve({ database }).text('/')).toContain(` Friday 27 November ${expected} `);
  });

  it('says that the first run is in progress, whichever process runs it, and not that nothing has been read', async () => {
    const { isUp, snapshot } = await world.sources.database();
    const pagesWith = (leaseAcquiredAt: string | null) => {
      const firstRun = { lastRunAt: null, leaseAcquiredAt, attention: { attentionAt: null, groups: [] } };
      const instances = snapshot?.value.instances.map((instance) => ({ ...instance, ...firstRun })) ?? [];
      const value = { ...(snapshot?.value as Health), instances, unconfiguredInstances: [] };
      return serve({ database: () => Promise.resolve({ isUp, snapshot: { atMs: NOW, value } }) });
    };
    const during = pagesWith('2026-11-28T11:00:00.000Z');
    const unknown = 'Not known yet: the first read is still in progress';
    expect(await during.text('/')).toMatch(new RegExp(` The first run is in progress .* ${unknown}\\. `));
    expect(await during.text('/attention?kind=never_read')).toContain(` ${unknown} · `);
    const home = await pagesWith(null).text('/');
    expect(home).toMatch(/ Nothing has been loaded yet .* Not known yet: nothing has been read\. /);
  });

  it('says why the status is unknown', async () => {
    const error = new ReadTimeoutError('the query took more than 3 s');
    const textWith = async (isUp: boolean, failure?: unknown) =>
      await serve({ database: () => Promise.resolve({ isUp, snapshot: null, error: failure }) }).text('/');
    expect(await textWith(false)).toContain('The status could not be read: the database is not responding');
    expect(await textWith(true, error)).toContain('The status could not be read: the query took more than 3 s');
    expect(await textWith(true)).toContain('The status is being read');
  });

  it('says why the last run failed, also while the database does not respond', async () => {
    const { instances, ...status } = world.sources.status();
    const problem = { code: 'database_refused', message: 'The password is wrong', hint: 'check DATABASE_URL' };
    const textWith = async (failure: typeof problem | null) => {
      const failed = instances.map((instance) => ({ ...instance, problem: failure }));
      const database = () => Promise.resolve({ isUp: false, snapshot: null });
      return await serve({ database, status: () => ({ ...status, instances: failed }) }).text('/');
    };
    expect(await textWith(problem)).toMatch(/Needs attention Run failed The password is wrong check DATABASE_URL Open/);
    expect(await textWith(null)).not.toContain('Needs attention');
  });
});

describe('organizations whose activity is not known yet', () => {
  it('are not 0 rows of those that changed', async () => {
    reads = ['hangs'];
    const page = await serve().text('/organizations?only=changed');
    expect(page).toContain('Counting… Reload It is not known yet which organizations these are.');
    expect(page).not.toContain('0 rows');
  });

  it('are listed by what is stored', async () => {
    reads = ['hangs'];
    expect(await serve().text('/organizations?only=no_plan')).toMatch(/Counting….* 1 row .*Hourly/);
  });

  it('say why they are not known', async () => {
    reads = ['fails'];
    const failure = 'Payloads, changes and limits could not be read: the query took more than 60 s. 8 rows ';
    expect(await serve().text('/organizations')).toContain(failure);
  });

  it('are in no file if all that is known is old', async () => {
    const pages = serve();
    const statusOf = async () => {
      const response = await pages.get('/organizations?format=csv');
      // A file that nobody reads keeps its connection.
      await response.text();
      return response.status;
    };
    expect(await statusOf()).toBe(200);
    nowMs += 600_000;
    reads = ['fails'];
    expect(await statusOf()).toBe(503);
    nowMs += 100_000;
    expect(await statusOf()).toBe(200);
  });

  it('are no page in a file', async () => {
    reads = ['fails'];
    const response = await serve().get('/organizations?only=changed&format=csv');
    expect([response.status, response.headers.get('content-type')]).toEqual([503, 'text/plain; charset=UTF-8']);
    const failure = 'The organizations could not be read: the query took more than 60 s. Try again in a minute.\n';
    expect(await response.text()).toBe(failure);
  });
});

const LATE = new ReadTimeoutError('the query took more than 10 s');
const toDatabaseError = (code: string) =>
  Object.assign(new DatabaseError(code, 0, 'error'), { code, severity: 'ERROR' });

test.for([
  ['/gaps', LATE, 'The gaps could not be read: the query took more than 10 s.'],
  ['/billing/2026-10', LATE, 'The month could not be read: the query took more than 10 s.'],
  ['/organizations', LATE, 'The organizations could not be read: the query took more than 10 s.'],
  ['/attention', LATE, 'What needs attention could not be read: the query took more than 10 s.'],
  ['/find?q=x', LATE, 'The organizations could not be read: the query took more than 10 s.'],
  ['/billing/2026-09/customers', LATE, 'The customers could not be read: the query took more than 10 s.'],
  ['/billing/2026-09/days', LATE, 'The days could not be read: the query took more than 10 s.'],
  ['/gaps', toDatabaseError('57014'), 'The gaps could not be read: the query took too long.'],
  ['/gaps', toDatabaseError('57P01'), 'The gaps could not be read: the database is not responding.'],
  ['/gaps', toDatabaseError('42P01'), 'The gaps could not be read: the query failed; see the log.'],
] as const)('%s names what could not be read, and why: %s', async ([path, error, expected]) => {
  const read = () => Promise.reject(error);
  const response = await serve({ read }).get(path);
  expect(response.status).toBe(503);
  expect(textOf(await response.text())).toContain(expected);
});

test('months that are not known yet say so on their pages', async () => {
  reads = ['hangs', 'hangs'];
  expect(await serve().text('/billing')).toContain('Counting…');
  expect(await serve().text('/billing/2026-10')).toMatch(/Counting….* 7 rows /);
});

test('old totals of a month have their age, and if there are none, the page says why', async () => {
  reads = ['real', 'fails'];
  const failure = ' The totals could not be read: the query took more than 60 s. ';
  expect(await serve().text('/billing/2026-09')).toContain(failure);
  const pages = serve();
  await expect.poll(() => pages.text('/billing/2026-09')).toContain(' Total 94,200 93,700 +500 ');
  nowMs += 600_000;
  reads = ['real', 'fails'];
  expect(await pages.text('/billing/2026-09')).toContain(' Total as of 10 min ago 94,200 93,700 +500 ');
  nowMs += 60_000;
  expect(await pages.text('/billing/2026-09')).toContain(' Total 94,200 93,700 +500 ');
});
