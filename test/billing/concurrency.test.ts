/** A close beside loads, beside another close, in a hostile session, and killed. */
import { sql } from 'kysely';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { closeMonth } from '../../src/billing/close.ts';
import { beginWriting, LEDGER_LOCK } from '../../src/ledger/lease.ts';
import { asAdministrator, disconnect } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { DEVICES, useBooks } from './books.ts';

const books = useBooks();

/** The month of the test: each test has its own, with two organizations. */
let month = '2025-12';
let orgId = '';
beforeEach(async () => {
  month = new Date(Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)), 1)).toISOString().slice(0, 7);
  orgId = await books.addFinalOrg({ from: `${month}-10`, to: `${month}-12` });
  await books.addFinalOrg({ from: `${month}-10`, to: `${month}-12` });
});

const countStatements = async () => {
  const counts = sql`select count(distinct s.statement_id) as statements, count(l.metric) as lines
    from losant_usage.statements s left join losant_usage.statement_lines l on l.statement_id = s.statement_id
    where s.month = ${`${month}-01`}`;
  return (await books.list(counts)).join();
};
const isWaiting = async () => (await books.countWaiting('advisory')) > 0;

test('waits for a load in flight and bills it', async () => {
  const load = await books.handle.db.startTransaction().execute();
  await beginWriting(load);
  const closing = books.close(month);
  await until('the close waits', isWaiting);
  await sql`update losant_usage.usage_days set devices_created = 9
    where org_id = ${orgId} and usage_date = ${`${month}-11`}`.execute(load);
  await load.commit().execute();
  expect((await closing).code).toBe(0);
  const billed = sql`select quantity from losant_usage.statement_lines
    where org_id = ${orgId} and metric = 'devices_created'`;
  expect(await books.list(billed)).toEqual(['17']);
});

test('keeps loads out, whose changes are then adjusted', async () => {
  let isLoaded = false;
  let load: Promise<void> | undefined;
  await books.withTrigger(
    'statement_lines',
    'perform pg_sleep(0.2); return null;',
    async () => {
      const closing = books.close(month);
      await until('the close writes', async () => (await countActive()) > 0);
      load = books
        .restate(orgId, `${month}-11`, { old: DEVICES, numbers: { ...DEVICES, devices_created: 9 } })
        .then(() => void (isLoaded = true));
      await until('the load waits', isWaiting);
      expect(isLoaded).toBe(false);
      expect((await closing).code).toBe(0);
      await load;
    },
    'after insert',
  );
  const adjustments = sql`select metric, difference from losant_usage.adjustments where month = ${`${month}-01`}`;
  expect(await books.list(adjustments)).toEqual(['devices_created 5']);
});

const countActive = async () => {
  const active = sql`select from pg_stat_activity where datname = current_database() and state = 'active'
    and query like '%insert into losant_usage.statement_lines%' and pid <> pg_backend_pid()`;
  return (await books.queryAsWriter(active)).length;
};

test('two at once make one statement, and two adjustments one', async () => {
  const closings = await Promise.all([books.close(month), books.close(month)]);
  expect(closings.map(({ code }) => `${code}`).toSorted()).toEqual(['0', '2']);
  await books.restate(orgId, `${month}-11`, { old: DEVICES, numbers: { ...DEVICES, devices_created: 9 } });
  const adjustments = await Promise.all([books.close(month, '--adjust'), books.close(month, '--adjust')]);
  expect(adjustments.map(({ code, stdout }) => `${code} ${stdout.slice(0, 8)}`).toSorted()).toEqual([
    '0 Adjusted',
    '0 Nothing ',
  ]);
  expect(await countStatements()).toBe('2 7');
});

test('waits no longer than its session allows, and is busy then', async () => {
  const load = await books.handle.db.startTransaction().execute();
  onTestFinished(async () => {
    await load.rollback().execute();
  });
  await beginWriting(load);
  const closing = books.handle.db.connection().execute(async (connection) => {
    await sql`set lock_timeout = '100ms'`.execute(connection);
    try {
      return await closeMonth(connection, { month, isAdjustment: false, reason: null });
    } finally {
      // The pool may have discarded the connection, which then needs no reset.
      await sql`set lock_timeout = '30s'`.execute(connection).catch(() => {});
    }
  });
  await expect(closing).rejects.toMatchObject({ name: 'BusyError', kind: 'lease_busy' });
});

const nameOf = (url: string) => new URL(url).pathname.slice(1);

/** Defaults of the database that a session of the program must not take over. */
const HOSTILE_DEFAULTS = {
  timezone: 'Pacific/Auckland',
  datestyle: 'SQL, DMY',
  extra_float_digits: '-15',
  default_transaction_isolation: 'serializable',
};

test('is the same whatever the defaults of the database are', async () => {
  const set = (name: string, assignment: string) =>
    asAdministrator(`alter database ${nameOf(books.url)} ${assignment.replace('NAME', name)}`);
  for (const [name, value] of Object.entries(HOSTILE_DEFAULTS)) await set(name, `set NAME = '${value}'`);
  onTestFinished(async () => {
    for (const name of Object.keys(HOSTILE_DEFAULTS)) await set(name, 'reset NAME');
    await disconnect(books.url);
  });
  // A load commits while the close waits: in a serializable transaction the close would not see it.
  const load = await books.handle.db.startTransaction().execute();
  await beginWriting(load);
  const closing = books.close(month);
  await until('the close waits', isWaiting);
  await sql`update losant_usage.usage_days set devices_created = 9
    where org_id = ${orgId} and usage_date = ${`${month}-11`}`.execute(load);
  await load.commit().execute();
  expect((await closing).code).toBe(0);
  expect((await books.lines(month, orgId)).map((line) => line.replace(/^\d+ /, ''))).toEqual([
    'closing devices_created 17 - -',
    'closing devices_deleted 3 - -',
    'closing devices_total 17 17 17.00',
  ]);
});

/** Ends the session of the close, as the end of its process does. */
const kill = () =>
  asAdministrator(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = '${nameOf(books.url)}' and state = 'active'
      and (query like '%insert into losant_usage.statement_lines%' or query like '%pg_advisory_xact_lock($%')`);

test('killed while it waits, while it writes and before it commits leaves nothing; then it can be closed', async () => {
  const holder = await books.handle.db.startTransaction().execute();
  onTestFinished(() =>
    holder
      .rollback()
      .execute()
      .catch(() => undefined),
  );
  await sql`select pg_advisory_xact_lock_shared(${LEDGER_LOCK}::bigint)`.execute(holder);
  const waiting = books.close(month);
  await until('the close waits', isWaiting);
  await kill();
  expect((await waiting).code).toBe(1);
  await holder.rollback().execute();
  for (const when of ['before insert', 'after insert']) {
    const body = 'perform pg_sleep(0.3); return new;';
    await books.withTrigger(
      'statement_lines',
      body,
      async () => {
        const closing = books.close(month);
        await until('the close writes', async () => (await countActive()) > 0);
        await kill();
        expect((await closing).code).toBe(1);
      },
      when,
    );
    expect(await countStatements()).toBe('0 0');
  }
  expect((await books.close(month)).code).toBe(0);
  expect(await countStatements()).toBe('1 6');
});
