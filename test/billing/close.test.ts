/** Closing a month: what is rejected, and what a statement contains. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import type { CloseOutcome } from '../../src/billing/close.ts';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { beginWriting } from '../../src/ledger/lease.ts';
import { asOwner, openAs, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { DEVICES, INSTANCE, OTHER_INSTANCE, quantitiesOf, useBooks } from './books.ts';

const books = useBooks();

const orgOn = (from: string, to: string) => books.addFinalOrg({ from, to });
/** Adds an organization whose third day is missing. */
const orgWithoutDay = async (month: string) => {
  const orgId = await books.addOrg({ from: `${month}-10`, to: `${month}-12` });
  await books.addCells({ orgId, from: `${month}-10`, to: `${month}-11` });
  await books.addCells({ orgId, from: `${month}-12`, standing: 'missing', numbers: null });
  return orgId;
};
const OTHER_BLOCKERS = /--accept-blockers [0-9a-f]{12} no longer matches/;

const levelOf = ({ lines }: CloseOutcome) => lines.find(({ metric }) => metric === 'devices_total');
const linesOf = (orgId: string) =>
  books.list(sql`select s.kind, l.metric, l.quantity, l.total, l.maximum, l.average, l.days_expected, l.days_final
    from losant_usage.statement_lines l join losant_usage.statements s using (statement_id)
    where l.org_id = ${orgId} order by s.number, l.metric`);

describe('a month', () => {
  // Guarantee (Billing): The lines and the proof pack of a statement cannot be changed, removed or extended.
  test('without blockers is closed once, with its quantities', async () => {
    const orgId = await orgOn('2026-03-10', '2026-03-12');
    expect(await books.close('2026-03')).toMatchObject({
      kind: 'closed',
      statement: { kind: 'closing', orgs: 1, number: 1, reason: null },
      blockers: [],
      totals: [
        { metric: 'devices_created', unit: 'devices', quantity: '12', orgs: 1 },
        { metric: 'devices_deleted', unit: 'devices', quantity: '3', orgs: 1 },
        { metric: 'devices_total', unit: 'devices', quantity: '17', orgs: 1 },
      ],
    });
    expect(await linesOf(orgId)).toEqual([
      'closing devices_created 12 12 - - 3 3',
      'closing devices_deleted 3 3 - - 3 3',
      'closing devices_total 17 17 17 17.00 3 3',
    ]);
    await expect(books.close('2026-03')).rejects.toThrow(`2026-03 of instance ${INSTANCE} was already closed at`);
  });

  test.each([
    `insert into losant_usage.statements select * from losant_usage.statements`,
    'update losant_usage.statements set orgs = 2',
    'delete from losant_usage.statement_lines',
    'update losant_usage.statement_lines set quantity = 1',
    'truncate losant_usage.statement_files',
    'truncate losant_usage.statement_blockers',
    `insert into losant_usage.statement_files select statement_id, 'lines.csv', 9, '' from losant_usage.statements`,
    `insert into losant_usage.statement_lines select * from losant_usage.statement_lines limit 1`,
    `begin; set local losant_usage.program = 'x'; update losant_usage.statements set orgs = 2`,
    `select losant_usage.add_pack_file(statement_id, 'lines.csv', '') from losant_usage.statements limit 1`,
  ])('that is closed rejects, even from the owner: %s', async (statement) => {
    await expect(asOwner(books.url, statement)).rejects.toThrow(/is not allowed|is sealed or does not exist/);
  });

  test('is not closed before it has ended, or with nothing to bill', async () => {
    await expect(books.close('2049-12')).rejects.toThrow('2049-12 has not ended: its last day is 2049-12-31 (UTC)');
    const { nowMs } = books;
    await books.setTime('2026-11-30T23:59:00Z');
    await expect(books.close('2026-11')).rejects.toThrow('2026-11 has not ended');
    await books.setTime(new Date(nowMs).toISOString());
    const nothing = /^2024-02 of instance .* has nothing to bill, so there is nothing to close/;
    await expect(books.close('2024-02')).rejects.toThrow(nothing);
  });

  test('is not closed if the closing is interrupted, and can be closed on one connection', async () => {
    const orgId = await orgOn('2025-08-05', '2025-08-06');
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(books.close('2025-08', { signal })).rejects.toThrow('interrupted');
    expect(await linesOf(orgId)).toEqual([]);
    await using single = await openAs('closer', books.url, { poolSize: 1 });
    expect(await books.close('2025-08', { on: single })).toMatchObject({ kind: 'closed' });
  });

  test('is closed after a load in progress, with all of it', async () => {
    const orgId = await orgOn('2025-07-05', '2025-07-06');
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const load = books.db.transaction().execute(async (trx) => {
      await beginWriting(trx);
      await sql`update losant_usage.coverage set revision = 1 where org_id = ${orgId}`.execute(trx);
      started.resolve();
      await finish.promise;
      await sql`update losant_usage.usage_days set devices_created = 5 where org_id = ${orgId}`.execute(trx);
    });
    await started.promise;
    const closing = books.close('2025-07');
    const isWaiting = sql`select count(*) > 0 from pg_locks where not granted`;
    await expect.poll(async () => await books.list(isWaiting)).toEqual(['true']);
    finish.resolve();
    await load;
    expect(quantitiesOf(await closing)).toMatchObject({ devices_created: '10' });
  });

  test('is closed without a deadlock next to a writer that goes on to other tables', async () => {
    const orgId = await orgOn('2025-06-05', '2025-06-06');
    let closing: Promise<CloseOutcome> | undefined;
    await books.db.transaction().execute(async (trx) => {
      await beginWriting(trx);
      await sql`update losant_usage.coverage set revision = 2 where org_id = ${orgId}`.execute(trx);
      closing = books.close('2025-06');
      const waiting = sql`select relation::regclass::text, mode from pg_locks where not granted`;
      const lock = 'losant_usage_internal.ledger_lock RowExclusiveLock';
      await expect.poll(async () => await books.list(waiting)).toEqual([lock]);
      await sql`update losant_usage.tracks set next_day = next_day where org_id = ${orgId}`.execute(trx);
    });
    expect(await closing).toMatchObject({ kind: 'closed' });
  });

  test('is closed at the second attempt if the first one ends in a deadlock, and then on disk', async () => {
    await orgOn('2025-05-05', '2025-05-06');
    await asOwner(
      books.url,
      `alter database ${new URL(books.url).pathname.slice(1)} set synchronous_commit = off;
      create sequence public.closings;
      create table public.commits (setting text);
      create function public.foreign_object() returns trigger language plpgsql security definer as $$ begin
        if nextval('public.closings') = 1 then raise deadlock_detected; end if;
        insert into public.commits values (current_setting('synchronous_commit'));
        return null; end $$;
      create constraint trigger foreign_object after insert on losant_usage.statements deferrable initially deferred
        for each row execute function public.foreign_object()`,
    );
    await using closer = await openAs('closer', books.url);
    expect(await books.close('2025-05', { on: closer })).toMatchObject({ kind: 'closed' });
    expect(await asOwner(books.url, 'select setting from public.commits')).toEqual([{ setting: 'on' }]);
    await asOwner(books.url, 'drop function public.foreign_object() cascade');
  });

  test('is closed while somebody vacuums the lines or rebuilds their indexes', async () => {
    await orgOn('2025-04-05', '2025-04-06');
    await using owner = await openAs('migrator', books.url);
    await owner.db.transaction().execute(async (trx) => {
      await sql`lock table losant_usage.statement_lines in share update exclusive mode`.execute(trx);
      expect(await books.close('2025-04')).toMatchObject({ kind: 'closed' });
    });
  });

  test('is closed while loads go on, without what they store', async () => {
    const orgId = await orgOn('2024-03-05', '2024-03-06');
    await using owner = await openAs('migrator', books.url);
    let closing: Promise<CloseOutcome> | undefined;
    await owner.db.transaction().execute(async (trx) => {
      await sql`lock table losant_usage.statement_lines in exclusive mode`.execute(trx);
      closing = books.close('2024-03');
      const waiting = sql`select relation::regclass::text from pg_locks where not granted`;
      await expect.poll(() => books.list(waiting)).toEqual(['losant_usage.statement_lines']);
      await books.restate(orgId, '2024-03-05', { old: { devices_created: 4 }, numbers: { devices_created: 9 } });
    });
    expect(quantitiesOf((await closing) as CloseOutcome)).toMatchObject({ devices_created: '8' });
  });

  test('is not billed again while somebody rewrites the lines', async () => {
    const orgId = await orgOn('2025-02-05', '2025-02-06');
    await books.close('2025-02');
    await books.restate(orgId, '2025-02-05', { old: { devices_created: 4 }, numbers: { devices_created: 9 } });
    await using owner = await openAs('migrator', books.url);
    let adjusting: Promise<CloseOutcome> | undefined;
    await owner.db.transaction().execute(async (trx) => {
      await sql`alter table losant_usage.statement_lines set unlogged`.execute(trx);
      adjusting = books.adjust('2025-02');
      const waiting = sql`select relation::regclass::text from pg_locks where not granted`;
      await expect.poll(() => books.list(waiting)).toEqual(['losant_usage.statement_lines']);
    });
    expect((await adjusting)?.totals).toMatchObject([{ metric: 'devices_created', quantity: '5' }]);
    await sql`alter table losant_usage.statement_lines set logged`.execute(owner.db);
  });

  test('of which lines were passed on is not read again after a conflict, because they would be there twice', async () => {
    await orgOn('2025-03-05', '2025-03-06');
    const conflict = Object.assign(new Error('conflict with recovery'), { code: '40001', severity: 'ERROR' });
    const pages: number[] = [];
    const takeLines = (lines: readonly unknown[]) => {
      pages.push(lines.length);
      return Promise.reject(conflict);
    };
    await expect(books.close('2025-03', { isDryRun: true, takeLines })).rejects.toBe(conflict);
    expect(pages).toEqual([3]);
  });

  // Guarantee (Billing): A statement is as of one instant; nothing loaded later is in it, not even by a load that waited
  // for it.
  test('is closed as of an instant of its transaction, which has one snapshot', async () => {
    await orgOn('2025-10-05', '2025-10-06');
    const begin = (isolation: string, asOf: string) =>
      queryOnce(
        loginAs('closer', books.url),
        `begin isolation level ${isolation};
         select losant_usage.begin_statement('${INSTANCE}', '2025-10-01', false, null, null, ${asOf}); commit`,
      );
    const wrongTime = 'a statement must be created in a repeatable read transaction';
    await expect(begin('read committed', 'now()')).rejects.toThrow(wrongTime);
    await expect(begin('repeatable read', `now() - interval '1 day'`)).rejects.toThrow(wrongTime);
    await expect(begin('repeatable read', 'now()')).rejects.toThrow('a statement must have its proof pack');
  });
});

describe('a cell that is not settled', () => {
  // Guarantee (Billing): A missing number is not a zero: only final and waived cells are billed or adjusted.
  test('if missing, is not billed as zero: the rest is billed once the blocker is accepted', async () => {
    const orgId = await orgWithoutDay('2026-04');
    const refused = await books.close('2026-04');
    expect(refused).toMatchObject({ kind: 'refused', blockers: [{ orgId, cause: 'missing', days: 1 }] });
    const closed = await books.accept('2026-04');
    expect(closed).toMatchObject({ kind: 'closed', statement: { reason: 'agreed' }, blockers: [{ orgId }] });
    expect(quantitiesOf(closed)).toMatchObject({ devices_created: '8', devices_total: '17' });
    expect(closed.lines[0]).toMatchObject({ daysExpected: 3, daysFinal: 2, daysMissing: 1 });
  });

  test('if in doubt, is not billed, nor is an adjustment of its metric until it is settled', async () => {
    const orgId = await books.addOrg({ from: '2026-05-10', to: '2026-05-13' });
    await books.addCells({ orgId, from: '2026-05-10', to: '2026-05-12' });
    await books.addCells({ orgId, from: '2026-05-13', numbers: { ...DEVICES, devices_total: 99 } });
    await books.setStanding(orgId, '2026-05-13', 'in_doubt');
    const closed = await books.accept('2026-05');
    const quantities = { devices_created: '12', devices_deleted: '3', devices_total: '17' };
    expect(quantitiesOf(closed)).toEqual(quantities);
    expect(levelOf(closed)).toMatchObject({ maximum: '17', average: '17.00' });
    await books.setStanding(orgId, '2026-05-10', 'in_doubt');
    expect(await books.accept('2026-05', { isAdjustment: true })).toMatchObject({ kind: 'unsettled' });
    await books.setStanding(orgId, '2026-05-10', 'final');
    await books.setStanding(orgId, '2026-05-13', 'final');
    const differences = { devices_created: '4', devices_deleted: '1', devices_total: '82' };
    expect(quantitiesOf(await books.adjust('2026-05'))).toEqual(differences);
  });

  test('is in no sum of its stream, nor by source', async () => {
    const days = { from: '2024-09-10', to: '2024-09-12' };
    const orgId = await books.addOrg(days);
    const unsettled = { notebook_minutes: '2024-09-10', payload_totals: '2024-09-11', payload_sources: '2024-09-12' };
    for (const [stream, day] of Object.entries(unsettled)) {
      await books.addCells({ orgId, ...days, stream });
      await books.setStanding(orgId, day, 'in_doubt', stream);
      // Nor has a day of another month an effect.
      await books.addCells({ orgId, from: '2024-10-11', stream });
      await books.setStanding(orgId, '2024-10-11', 'in_doubt', stream);
    }
    const numbers = { notebook_completed: 1, notebook_canceled: 2, notebook_errored: 3, notebook_timeout: 4 };
    const minutes = { stream: 'notebook_minutes', old: {}, numbers: { notebook_minutes: 7, ...numbers } };
    for (const day of ['10', '11', '12']) await books.restate(orgId, `2024-09-${day}`, minutes);
    expect(quantitiesOf(await books.accept('2024-09'))).toEqual({
      notebook_minutes: '14',
      notebook_completed: '2',
      notebook_canceled: '4',
      notebook_errored: '6',
      notebook_timeout: '8',
      payload_billable_count: '20',
      payload_all_count: '24',
      payload_all_bytes: '2400',
      payload_source_count: '24',
    });
    const sources = sql`select sources::text from losant_usage.statement_lines
      where org_id = ${orgId} and sources is not null`;
    expect(await books.list(sources)).toEqual(['{"timer": {"timer.flow": 14}, "webhook": {"hook": 10}}']);
    expect((await books.verifyMonth('2024-09')).problems).toEqual([]);
  });
});

test('a statement ends what its month needs from a person, and of no other month', async () => {
  const orgId = await orgOn('2025-03-10', '2025-03-12');
  const note = (kind: string, month: string) => sql`insert into losant_usage.attention_items
    (instance_id, kind, subject, text, first_seen_on, last_seen_on)
    values (${INSTANCE}, ${kind}::losant_usage.attention_kind, ${month}, 'Month', '2025-04-05', '2025-04-05')`;
  const current = () =>
    books.list(sql`select kind, subject from losant_usage.attention_items where is_current order by kind, subject`);
  await books.asProgram(note('month_ready', '2025-02'), note('month_ready', '2025-03'));
  await books.close('2025-03', { isDryRun: true });
  expect(await current()).toEqual(['month_ready 2025-02', 'month_ready 2025-03']);
  await books.close('2025-03');
  expect(await current()).toEqual(['month_ready 2025-02']);
  await books.asProgram(note('month_needs_adjustment', '2025-03'));
  await books.restate(orgId, '2025-03-11', { old: { devices_created: 4 }, numbers: { devices_created: 9 } });
  await books.adjust('2025-03');
  expect(await current()).toEqual(['month_ready 2025-02']);
});

test('a statement that is created while a refresh reads ends what its month needs, too', async () => {
  await orgOn('2024-05-10', '2024-05-12');
  const current = () =>
    books.list(sql`select kind from losant_usage.attention_items where is_current and subject = '2024-05'`);
  const day = '2026-11-22';
  await refreshAttention({ db: books.db, instanceId: INSTANCE, lease: null }, day);
  expect(await current()).toEqual(['month_ready']);
  // The transaction in which a refresh writes begins after it has read.
  const transaction = () => ({
    execute: async (work: Parameters<ReturnType<typeof books.db.transaction>['execute']>[0]) => {
      await books.close('2024-05');
      return await books.db.transaction().execute(work);
    },
  });
  const db = new Proxy(books.db, {
    get: (target, name) => {
      const value: unknown = name === 'transaction' ? transaction : Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await refreshAttention({ db, instanceId: INSTANCE, lease: null }, day);
  expect(await current()).toEqual([]);
});

describe('the blockers of a month', () => {
  // Guarantee (Billing): A blocked month can be closed only with exactly the blockers that were shown, and with a
  // recorded reason.
  test('are accepted as shown, and not if another quantity would be billed', async () => {
    const month = '2026-01';
    const orgId = await orgWithoutDay(month);
    const { blockersHash } = await books.close(month, { isDryRun: true });
    expect(blockersHash).toMatch(/^[0-9a-f]{12}$/);
    const acceptance = { reason: 'agreed', blockersHash: blockersHash ?? '' };
    const other = books.close(month, { acceptance: { ...acceptance, blockersHash: '0'.repeat(12) } });
    await expect(other).rejects.toThrow(/--accept-blockers 0{12} no longer matches, the hash is now [0-9a-f]{12}/);
    const numbers = { devices_created: 5_000_000 };
    await books.restate(orgId, '2026-01-11', { old: { devices_created: 4 }, numbers });
    for (const isDryRun of [false, true])
      await expect(books.close(month, { acceptance, isDryRun })).rejects.toThrow(OTHER_BLOCKERS);
    const elsewhere = await books.addOrg({ from: `${month}-10`, to: `${month}-10`, instanceId: OTHER_INSTANCE });
    await books.addCells({ orgId: elsewhere, from: `${month}-10`, standing: 'missing', numbers: null });
    expect(await books.accept(month)).toMatchObject({ kind: 'closed' });
    const accepted = sql`select b.org_id from losant_usage.statement_blockers b
      join losant_usage.statements s on s.statement_id = b.statement_id where s.month = '2026-01-01'`;
    expect(await books.list(accepted)).toEqual([orgId]);
  });

  test('are not accepted for other days of the same cause', async () => {
    const month = '2025-11';
    const days = { from: '2025-11-10', to: '2025-11-12' };
    const orgId = await books.addFinalOrg(days);
    await books.addCells({ orgId, ...days, stream: 'payload_totals', standing: 'missing', numbers: null });
    const { blockersHash } = await books.close(month, { isDryRun: true });
    const acceptance = { reason: 'agreed', blockersHash: blockersHash ?? '' };
    await books.waive(orgId, '2025-11-10', 'payload_totals');
    await expect(books.close(month, { acceptance })).rejects.toThrow(OTHER_BLOCKERS);
    for (const day of ['2025-11-11', '2025-11-12']) await books.waive(orgId, day, 'payload_totals');
    await expect(books.close(month, { acceptance })).rejects.toThrow('2025-11 is no longer blocked');
    expect(await books.close(month)).toMatchObject({ kind: 'closed' });
  });
});
