import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { beginWriting, type LeaseHold, releaseLease, renewLease, takeLease } from '../../src/ledger/lease.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');

describe('a lease', () => {
  beforeEach(async () => {
    await given.ledger.ask(sql`delete from losant_usage.leases`);
  });

  const write = (lease: LeaseHold) =>
    given.ledger.db.transaction().execute((trx) => beginWriting(trx, { runId: RUN_1, lease }));

  const take = (runId = RUN_1, host = 'one') =>
    takeLease(given.ledger.db, { instanceId: INSTANCE, runId, host });
  const leases = () =>
    given.ledger.ask(sql`select run_id, host,
        round(extract(epoch from until - clock_timestamp()))::integer as left
        from losant_usage.leases order by epoch`);
  const letPass = (interval: string) =>
    sql`update losant_usage.leases set until = until - ${interval}::interval`.execute(given.ledger.db);

  test('is taken for a minute by the clock of the database', async () => {
    expect(await take()).toEqual({ instanceId: INSTANCE, epoch: expect.any(Number) as number });
    expect(await leases()).toEqual([{ left: 60, run_id: RUN_1, host: 'one' }]);
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
    await renewLease(given.ledger.db, lease);
    expect(await leases()).toMatchObject([{ left: 60, run_id: RUN_1 }]);
  });

  // Promise (Runs): One process at a time exports an instance; one that lost its lease loads nothing more.
  test('that lapsed goes to the next, with a higher epoch; the first has lost it', async () => {
    const first = await take();
    await letPass('60 seconds');
    const second = await take(RUN_2, 'two');
    expect(second.epoch).toBeGreaterThan(first.epoch);
    const lost = { name: 'HeldError', kind: 'lease_lost' };
    await expect(renewLease(given.ledger.db, first)).rejects.toMatchObject(lost);
    await expect(write(first)).rejects.toMatchObject(lost);
    await write(second);
  });

  test('that lapsed and nobody took is still its holder’s', async () => {
    const lease = await take();
    await letPass('10 minutes');
    await write(lease);
    await renewLease(given.ledger.db, lease);
    await expect(take(RUN_2, 'two')).rejects.toMatchObject({ kind: 'lease_held' });
  });

  test('that was given up can be taken at once and not be renewed', async () => {
    const lease = await take();
    await releaseLease(given.ledger.db, lease);
    await expect(renewLease(given.ledger.db, lease)).rejects.toMatchObject({ kind: 'lease_lost' });
    expect((await take(RUN_2, 'two')).epoch).toBeGreaterThan(lease.epoch);
  });

  test('is not given up by one who had it before', async () => {
    const first = await take();
    await letPass('60 seconds');
    await take(RUN_2, 'two');
    await releaseLease(given.ledger.db, first);
    expect(await leases()).toMatchObject([{ left: 60, run_id: RUN_2, host: 'two' }]);
  });
});

describe('a transaction in which the program writes', () => {
  test.each([
    ['off', 'on'],
    ['local', 'local'],
    ['on', 'on'],
  ])(
    'on a server or behind a pooler with synchronous_commit = %s commits with %s',
    async (usual, expected) => {
      const setting = await given.ledger.db.transaction().execute(async (trx) => {
        await sql`select set_config('synchronous_commit', ${usual}, true)`.execute(trx);
        await beginWriting(trx);
        const { rows } = await sql<{
          now: string;
        }>`select current_setting('synchronous_commit') as now`.execute(trx);
        return rows[0]?.now;
      });
      expect(setting).toBe(expected);
    },
  );

  test('says so to itself alone', async () => {
    const said = sql<{ by_hand: boolean }>`select losant_usage_internal.is_by_hand() as by_hand`;
    const inside = await given.ledger.db.transaction().execute(async (trx) => {
      await beginWriting(trx);
      return (await said.execute(trx)).rows;
    });
    expect([inside, (await said.execute(given.ledger.db)).rows]).toEqual([
      [{ by_hand: false }],
      [{ by_hand: true }],
    ]);
  });
});
