import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LeaseHold, releaseLease, renewLease, takeLease } from '../../src/database/write/lease.ts';
import { beginWriting } from '../../src/database/write/transaction.ts';
import { INSTANCE, type Ledger, openLedger, RUN_1, RUN_2, rowsOf } from './ledger.ts';

describe.each(['postgres', 'embedded'] as const)('a lease in the %s database', (kind) => {
  let ledger: Ledger;

  beforeAll(async () => {
    ledger = await openLedger(kind);
  });

  beforeEach(async () => {
    await sql`update losant_usage.instances set lease_run_id = null, lease_host = null, lease_since = null,
      lease_until = null, lease_epoch = 0`.execute(ledger.db);
  });

  afterAll(() => ledger.close());

  const write = (lease: LeaseHold) =>
    ledger.db.transaction().execute((trx) => beginWriting(trx, { runId: RUN_1, lease }));

  const take = (runId = RUN_1, host = 'one') => takeLease(ledger.db, { instanceId: INSTANCE, runId, host });
  const seconds = (column: string) =>
    rowsOf(
      ledger.db,
      sql`select round(extract(epoch from ${sql.ref(column)} - clock_timestamp()))::integer as left,
        lease_run_id, lease_host, lease_epoch from losant_usage.instances`,
    );
  const letPass = (interval: string) =>
    sql`update losant_usage.instances set lease_until = lease_until - ${interval}::interval`.execute(
      ledger.db,
    );

  test('is taken for a minute by the clock of the database', async () => {
    expect(await take()).toEqual({ instanceId: INSTANCE, epoch: 1 });
    expect(await seconds('lease_until')).toEqual([
      { left: 60, lease_run_id: RUN_1, lease_host: 'one', lease_epoch: 1 },
    ]);
  });

  test('is had by one: the next is told who has it, since when and until when', async () => {
    await take();
    await expect(take(RUN_2, 'two')).rejects.toMatchObject({
      name: 'HeldError',
      kind: 'lease_held',
      message: expect.stringMatching(
        /^Instance 5c0000000000000000000001 .* on one since \d{4}-\d\d-\d\dT[\d:.]+Z/,
      ) as unknown,
      hint: expect.stringMatching(/--wait SECONDS.* lapses at \d{4}-\d\d-\d\dT[\d:.]+Z/) as unknown,
    });
  });

  test('is had by one of many who ask at once', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 5 }, () => take()));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('is prolonged by its holder', async () => {
    const lease = await take();
    await letPass('45 seconds');
    await renewLease(ledger.db, lease);
    expect(await seconds('lease_until')).toMatchObject([{ left: 60, lease_epoch: 1 }]);
  });

  test('that lapsed goes to the next, with a higher epoch; the first has lost it', async () => {
    const first = await take();
    await letPass('60 seconds');
    const second = await take(RUN_2, 'two');
    expect(second.epoch).toBe(2);
    const lost = { name: 'HeldError', kind: 'lease_lost' };
    await expect(renewLease(ledger.db, first)).rejects.toMatchObject(lost);
    await expect(write(first)).rejects.toMatchObject(lost);
    await write(second);
  });

  test('that lapsed and nobody took is still its holder’s', async () => {
    const lease = await take();
    await letPass('10 minutes');
    await write(lease);
    await renewLease(ledger.db, lease);
    await expect(take(RUN_2, 'two')).rejects.toMatchObject({ kind: 'lease_held' });
  });

  test('that was given up can be taken at once and not be renewed', async () => {
    const lease = await take();
    await releaseLease(ledger.db, lease);
    await expect(renewLease(ledger.db, lease)).rejects.toMatchObject({ kind: 'lease_lost' });
    expect((await take(RUN_2, 'two')).epoch).toBe(2);
  });

  test('is not given up by one who had it before', async () => {
    const first = await take();
    await letPass('60 seconds');
    await take(RUN_2, 'two');
    await releaseLease(ledger.db, first);
    expect(await seconds('lease_until')).toEqual([
      { left: 60, lease_run_id: RUN_2, lease_host: 'two', lease_epoch: 2 },
    ]);
  });
});
