import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { HeldError } from '../../src/errors.ts';
import { beginWriting, type LeaseHold, releaseLease, renewLease, takeLease } from '../../src/ledger/lease.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

describe.each(['postgres', 'embedded'] as const)('a lease in the %s database', (kind) => {
  const ledger = useLedger({ kind });

  beforeEach(async () => {
    await ledger.ask(sql`delete from losant_usage.leases`);
  });

  const write = (lease: LeaseHold) =>
    ledger.db.transaction().execute((trx) => beginWriting(trx, { runId: RUN_1, lease }));

  const take = (runId = RUN_1, host = 'one') => takeLease(ledger.db, { instanceId: INSTANCE, runId, host });
  const leases = () =>
    ledger.ask(sql`select shard_index as i, shard_count as n, run_id, host,
        round(extract(epoch from until - clock_timestamp()))::integer as left
        from losant_usage.leases order by epoch`);
  const letPass = (interval: string) =>
    sql`update losant_usage.leases set until = until - ${interval}::interval`.execute(ledger.db);

  test('is taken for a minute by the clock of the database', async () => {
    expect(await take()).toEqual({
      instanceId: INSTANCE,
      epoch: expect.any(Number) as number,
      lapsedRunIds: [],
    });
    expect(await leases()).toEqual([{ i: 0, n: 1, left: 60, run_id: RUN_1, host: 'one' }]);
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
    expect(await leases()).toMatchObject([{ left: 60, run_id: RUN_1 }]);
  });

  test('that lapsed goes to the next, with a higher epoch; the first has lost it', async () => {
    const first = await take();
    await letPass('60 seconds');
    const second = await take(RUN_2, 'two');
    expect(second.epoch).toBeGreaterThan(first.epoch);
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
    expect((await take(RUN_2, 'two')).epoch).toBeGreaterThan(lease.epoch);
  });

  test('is not given up by one who had it before', async () => {
    const first = await take();
    await letPass('60 seconds');
    expect(await take(RUN_2, 'two')).toMatchObject({ lapsedRunIds: [RUN_1] });
    await releaseLease(ledger.db, first);
    expect(await leases()).toMatchObject([{ left: 60, run_id: RUN_2, host: 'two' }]);
  });

  /** `I/N`; `all`: the whole instance. */
  const takePart = async (part: string, runId = RUN_1) => {
    const [index = 0, count = 0] = part.split('/').map(Number);
    const shard = part === 'all' ? null : { index, count };
    return await takeLease(ledger.db, { instanceId: INSTANCE, shard, runId, host: `host of ${part}` });
  };

  test.each([
    ['0/3', '1/3', 'beside'],
    ['0/3', '0/3', 'held'],
    ['0/3', 'all', 'held'],
    ['all', '0/3', 'held'],
    ['0/1', '2/3', 'held'],
    // Of different numbers of shards, those that have no organization in common.
    ['1/2', '2/4', 'beside'],
    ['1/2', '3/4', 'held'],
    ['0/2', '2/3', 'held'],
    ['4/6', '3/9', 'beside'],
    ['4/6', '7/9', 'held'],
  ])('of %s, while one of %s is asked for: %s', async (first, second, expected) => {
    await takePart(first);
    const taken = takePart(second, RUN_2).then(
      () => 'beside',
      (error: unknown) => error instanceof HeldError && [error.kind, error.message.replace(/ since .*/, '')],
    );
    const what = ['all', '0/1'].includes(first) ? 'Instance' : `Shard ${first} of instance`;
    const held = ['lease_held', `${what} ${INSTANCE} is being exported by a process on host of ${first}`];
    expect(await taken).toEqual(expected === 'held' ? held : 'beside');
  });

  test('of a shard is prolonged and given up by itself', async () => {
    const [first, second] = [await takePart('0/2'), await takePart('1/2', RUN_2)];
    await letPass('60 seconds');
    await renewLease(ledger.db, second);
    await releaseLease(ledger.db, first);
    expect(await leases()).toMatchObject([{ i: 1, n: 2, host: 'host of 1/2', left: 60 }]);
    await write(second);
    await expect(write(first)).rejects.toMatchObject({ kind: 'lease_lost' });
  });

  test.each([
    ['0/3', '0/3'],
    ['0/3', 'all'],
    ['all', '0/3'],
    ['1/2', '3/4'],
  ])('of %s that lapsed goes to one of %s; the first has lost it', async (first, second) => {
    const lapsed = await takePart(first);
    await letPass('60 seconds');
    const successor = await takePart(second, RUN_2);
    const lost = { name: 'HeldError', kind: 'lease_lost' };
    await expect(renewLease(ledger.db, lapsed)).rejects.toMatchObject(lost);
    await expect(write(lapsed)).rejects.toMatchObject(lost);
    await releaseLease(ledger.db, lapsed);
    await write(successor);
  });

  test('of a shard that lapsed stays its holder’s while another shard is taken', async () => {
    const lapsed = await takePart('0/3');
    await letPass('60 seconds');
    await takePart('1/3', RUN_2);
    await write(lapsed);
    await renewLease(ledger.db, lapsed);
    await expect(takePart('all')).rejects.toMatchObject({ kind: 'lease_held' });
  });

  test('of a shard is had by one of many who ask at once, also beside the whole instance', async () => {
    const asked = ['0/2', 'all', '0/2', '0/1', '2/4'].map((part) => takePart(part));
    const settled = await Promise.allSettled(asked);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});
