/** Loading: what `apply` decides is written together or not at all, and what is on record says what changed. */
import { gunzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { takeLease } from '../../src/ledger/lease.ts';
import { loadBatch } from '../../src/ledger/load.ts';
import type { Answered } from '../../src/ledger/quarantine.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import type { PayloadSources } from '../../src/usage/numbers.ts';
import { devices, failed, hours, minutes, named, silence, sources, totals } from '../usage/cells.ts';
import { answer, at, INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const DAY = '2026-11-20';
const ALL = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals', 'payload_hours'];
const ledger = useLedger('2026-11-22T12:00:00.000Z');

beforeAll(async () => {
  await ledger.prepare();
});

/** An organization whose streams are wanted on one day. */
const wanted = (...streams: readonly string[]) => ledger.want({ from: DAY, to: DAY }, streams);
const devicesOf = (orgId: string, ...numbers: [number, number, number]) =>
  answer(orgId, 'device_counts', DAY, named(devices(...numbers)));
const numbersOf = (orgId: string) =>
  ledger.ask(
    sql`select jsonb_strip_nulls(to_jsonb(d) - array['usage_date', 'month', 'org_id', 'standing',
    'is_waiting', 'is_stored', 'is_reported']) as numbers
    from losant_usage.usage_days d where org_id = ${orgId}`,
    ledger.db,
  );
const revisionsOf = (orgId: string) =>
  ledger.list(sql`select stream, revision, old, new, was_final, run_id
    from losant_usage.revisions where org_id = ${orgId} order by id`);
const versionsOf = (orgId: string) =>
  ledger.list(sql`select xmin, ctid::text from losant_usage.usage_days where org_id = ${orgId}`, ledger.db);

describe('a load', () => {
  test('writes numbers of every kind and the whole row of the ledger, and logs no first load', async () => {
    const orgId = await wanted(...ALL);
    const result = await ledger.load([
      devicesOf(orgId, 4, 1, 17),
      answer(orgId, 'notebook_minutes', DAY, named(minutes(17, 4))),
      answer(orgId, 'payload_sources', DAY, named(sources(21))),
      answer(orgId, 'payload_totals', DAY, named(totals(17, 21, 9_007_199_254_740_991))),
      answer(orgId, 'payload_hours', DAY, named(hours(17, 21, 900))),
    ]);
    const stored = { ...devices(4, 1, 17), ...minutes(17, 4), ...sources(21), ...hours(17, 21, 900) };
    expect(await numbersOf(orgId)).toEqual([
      { numbers: { ...stored, ...totals(17, 21, 9_007_199_254_740_991) } },
    ]);
    const row = sql`select standing, is_stored, is_reported, silences, revision, attempts, verified_at, attempted_at,
        first_loaded_at, next_read_at, finalized_at, run_id, reason, message, encode(response_sha256, 'hex')
      from losant_usage.coverage where org_id = ${orgId} and stream = 'device_counts'`;
    const sentAt = '2026-11-22T12:00:00.000Z';
    const times = `${sentAt} ${sentAt} ${sentAt} 2026-11-23T00:00:00.000Z -`;
    expect(await ledger.list(row, ledger.db)).toEqual([
      `stored true true 0 1 0 ${times} ${RUN_1} - - ${'a'.repeat(64)}`,
    ]);
    expect(await revisionsOf(orgId)).toEqual([]);
    const loaded = { result: 'loaded', standing: 'stored', differences: null, before: { wasFinal: false } };
    expect(result[0]).toMatchObject(loaded);
  });

  // Promise (Numbers): Reading equal numbers again writes no row of numbers and no revision.
  test('of equal numbers touches no row of numbers', async () => {
    const orgId = await wanted('device_counts');
    const final = { ...devicesOf(orgId, 4, 1, 17), sentAtMs: at('2026-11-24T11:00:00.000Z') };
    await ledger.load([final]);
    const before = await versionsOf(orgId);
    const later = { ...final, sentAtMs: at('2026-11-24T12:00:00.000Z') };
    const result = await ledger.load([later], { runId: RUN_2 });
    expect(await versionsOf(orgId)).toEqual(before);
    expect(result).toMatchObject([{ result: 'unchanged' }]);
    expect(await revisionsOf(orgId)).toEqual([]);
    expect(await ledger.cells(orgId)).toEqual(['11-20 device_counts final  11-28T00:00']);
  });

  // Promise (Changes): Every change of a number after its first load is on record, old and new, with the run that
  // made it.
  test('of other numbers keeps what differs on record, also of numbers that were final', async () => {
    const orgId = await wanted('device_counts', 'payload_sources');
    const late = at('2026-11-24T12:00:00.000Z');
    const first = { payload_source_count: 3, payload_sources: { a: { b: 1 }, gone: { c: 2 } } };
    const next = { payload_source_count: 6, payload_sources: { a: { b: 1 }, come: { d: 5 } } };
    const batch = (...[counts, split]: [Parameters<typeof devices>, typeof first | typeof next]) => [
      { ...devicesOf(orgId, ...counts), sentAtMs: late },
      { ...answer(orgId, 'payload_sources', DAY, named(split)), sentAtMs: late },
    ];
    await ledger.load(batch([4, 1, 17], first));
    const result = await ledger.load(batch([4, 2, 18], next), { runId: RUN_2 });
    const restated = { result: 'loaded', before: { wasFinal: true } };
    expect(result).toMatchObject([restated, restated]);
    const [oldSources, newSources] = [
      '{"come":{"d":null},"gone":{"c":2}}',
      '{"come":{"d":5},"gone":{"c":null}}',
    ];
    expect(await revisionsOf(orgId)).toEqual([
      `device_counts 2 {"devices_total":17,"devices_deleted":1} {"devices_total":18,"devices_deleted":2} true ${RUN_2}`,
      `payload_sources 2 {"payload_sources":${oldSources},"payload_source_count":3} ` +
        `{"payload_sources":${newSources},"payload_source_count":6} true ${RUN_2}`,
    ]);
    const standing = sql`select revision, standing, finalized_at from losant_usage.coverage where org_id = ${orgId}`;
    const final = '2 final 2026-11-24T12:00:00.000Z';
    expect(await ledger.list(standing, ledger.db)).toEqual([final, final]);
  });

  test('keeps keys that JavaScript has its own meaning for, and any text', async () => {
    const orgId = await wanted('payload_sources');
    const text =
      '{"toString":{"__proto__":1,"constructor":2},"\'); drop table x; --":{"ü \\"\\\\ {} , 😀":3}}';
    const split = JSON.parse(text) as PayloadSources;
    const numbers = { payload_source_count: 6, payload_sources: split };
    const read = [answer(orgId, 'payload_sources', DAY, named(numbers))];
    await ledger.load(read);
    expect(await ledger.load(read, { runId: RUN_2 })).toMatchObject([{ result: 'unchanged' }]);
    const rows = sql`select payload_type, source, count from losant_usage.payload_sources
      where org_id = ${orgId} order by count`;
    expect(await ledger.list(rows)).toEqual([
      'toString __proto__ 1',
      'toString constructor 2',
      '\'); drop table x; -- ü "\\ {} , 😀 3',
    ]);
  });

  test('of one stream leaves the numbers of the others, also where its batch has others', async () => {
    const streams = ['device_counts', 'notebook_minutes'];
    const [one, two] = [await wanted(...streams), await wanted(...streams)];
    const read = answer(one, 'notebook_minutes', DAY, named(minutes(17, 4)));
    await ledger.load([devicesOf(one, 4, 1, 17), read]);
    const next = [devicesOf(one, 5, 1, 18), answer(two, 'notebook_minutes', DAY, named(minutes(1, 1)))];
    await ledger.load(next, { runId: RUN_2 });
    expect(await numbersOf(one)).toEqual([{ numbers: { ...devices(5, 1, 18), ...minutes(17, 4) } }]);
    expect(await numbersOf(two)).toEqual([{ numbers: minutes(1, 1) }]);
  });

  test('that failed or was left out leaves the numbers, and says what is wrong as of now', async () => {
    const orgId = await wanted('device_counts', 'notebook_minutes');
    await ledger.load([devicesOf(orgId, 4, 1, 17)]);
    const before = await numbersOf(orgId);
    const batch = [
      { ...answer(orgId, 'device_counts', DAY, silence), sentAtMs: at('2026-11-22T13:00:00.000Z') },
      answer(orgId, 'notebook_minutes', DAY, failed),
    ];
    expect(await ledger.load(batch, { runId: RUN_2 })).toMatchObject([
      { result: 'failed', standing: 'in_doubt', problem: { code: 'left_out' } },
      { result: 'failed', standing: 'missing', problem: { code: 'server_error' } },
    ]);
    expect(await numbersOf(orgId)).toEqual(before);
    const other = await wanted('device_counts');
    const late = await ledger.load([answer(other, 'device_counts', DAY, silence)]);
    expect(late).toMatchObject([{ result: 'left_out', standing: 'missing' }]);
    expect(await ledger.cells(other)).toEqual(['11-20 device_counts waiting left_out 11-23T00:00']);
  });
});

describe('counterparts', () => {
  const load = (orgId: string, verdicts: Readonly<Record<string, Verdict>>) =>
    ledger.load(Object.entries(verdicts).map(([stream, verdict]) => answer(orgId, stream, DAY, verdict)));

  test('of the same batch are seen, whatever its order: sources first', async () => {
    const orgId = await wanted('payload_totals', 'payload_sources', 'payload_hours');
    const read = { payload_hours: silence, payload_totals: silence, payload_sources: named(sources(21)) };
    const cells = await load(orgId, read);
    expect(cells.map(({ stream, problem }) => `${stream} ${problem?.code}`)).toEqual([
      'payload_sources undefined',
      'payload_totals contradicted',
      'payload_hours contradicted',
    ]);
  });

  test('that are stored are seen, and none of them changes', async () => {
    const orgId = await wanted('payload_totals', 'payload_sources');
    await load(orgId, { payload_totals: named(totals(17, 21, 900)) });
    const before = await ledger.cells(orgId);
    await load(orgId, { payload_sources: silence });
    const after = await ledger.cells(orgId);
    expect(after[0]).toBe('11-20 payload_sources waiting contradicted 11-23T00:00');
    expect(after[1]).toBe(before[1]);
  });

  test('that are wanted and not stored are waited for, and those that nobody wants are not', async () => {
    const orgId = await wanted('payload_totals', 'payload_sources');
    await load(orgId, { payload_totals: silence });
    expect((await ledger.cells(orgId))[1]).toBe('11-20 payload_totals waiting unconfirmed 11-23T00:00');
    const other = await wanted('payload_totals');
    const cells = await load(other, { payload_totals: silence });
    expect(cells).toMatchObject([{ result: 'loaded', standing: 'stored' }]);
  });
});

describe('a batch', () => {
  test('is loaded by its lease alone', async () => {
    const orgId = await wanted('device_counts');
    const lease = await takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_1, host: 'one' });
    await ledger.load([devicesOf(orgId, 4, 1, 17)], { lease });
    await sql`update losant_usage.leases set until = until - interval '2 minutes'`.execute(ledger.db);
    await takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_2, host: 'two' });
    const lost = ledger.load([devicesOf(orgId, 9, 9, 9)], { lease });
    await expect(lost).rejects.toMatchObject({ name: 'HeldError', kind: 'lease_lost' });
    expect(await numbersOf(orgId)).toEqual([{ numbers: devices(4, 1, 17) }]);
    await sql`delete from losant_usage.leases`.execute(ledger.db);
  });

  test('whose end was not seen may be loaded again, and counts once', async () => {
    const orgId = await wanted('device_counts', 'notebook_minutes');
    const batch = [devicesOf(orgId, 4, 1, 17), answer(orgId, 'notebook_minutes', DAY, failed)];
    await ledger.load(batch);
    const row = sql`select attempts, revision from losant_usage.coverage where org_id = ${orgId} order by stream`;
    const before = await ledger.list(row, ledger.db);
    expect(await ledger.load(batch)).toMatchObject([{ result: 'unchanged' }, { result: 'failed' }]);
    expect(await ledger.list(row, ledger.db)).toEqual(before);
    expect(before[1]).toBe('1 0');
  });

  test.each([
    ['a number that is too large', named(devices(1, 1, 9_007_199_254_740_992)), '23514'],
    ['a number that is no integer', named(devices(1, 1, 0.5)), '22P02'],
  ])('that the database refuses for its data leaves nothing: %s', async (_, verdict, code) => {
    const orgId = await wanted('device_counts', 'notebook_minutes');
    const good = answer(orgId, 'notebook_minutes', DAY, named(minutes(17, 4)));
    const batch = [answer(orgId, 'device_counts', DAY, verdict), good];
    await expect(ledger.load(batch)).rejects.toMatchObject({ code });
    expect(await numbersOf(orgId)).toEqual([{ numbers: {} }]);
    expect(await ledger.cells(orgId)).toEqual([
      '11-20 device_counts waiting never_read 11-21T00:00',
      '11-20 notebook_minutes waiting never_read 11-21T00:00',
    ]);
    // The half of the batch without it loads.
    await ledger.load([good]);
    expect(await numbersOf(orgId)).toEqual([{ numbers: minutes(17, 4) }]);
  });

  test('for which no row is wanted is a defect', async () => {
    const orgId = await wanted('device_counts');
    const stray = answer(orgId, 'notebook_minutes', DAY, failed);
    await expect(ledger.load([stray])).rejects.toThrow('has no row');
  });

  test('is not loaded by a host whose clock has moved since the run began', async () => {
    const orgId = await wanted('device_counts');
    const offBy = (ms: number, sentAtMs = ledger.nowMs) =>
      ledger.load([{ ...devicesOf(orgId, 4, 1, 17), sentAtMs }], { now: () => ledger.nowMs + ms });
    const wrong = { kind: 'clock_skew' };
    for (const ms of [30_001, -30_001]) await expect(offBy(ms)).rejects.toMatchObject(wrong);
    await expect(offBy(0, ledger.nowMs + 30_001)).rejects.toMatchObject(wrong);
    await expect(offBy(0, at('2026-11-20T23:59:00.000Z'))).rejects.toMatchObject(wrong);
    expect(await numbersOf(orgId)).toEqual([{ numbers: {} }]);
    await offBy(30_000);
    expect(await numbersOf(orgId)).toEqual([{ numbers: devices(4, 1, 17) }]);
  });
});

describe('our sums of the day', () => {
  const sums = sql`select metric, our_sum, orgs_open from losant_usage.instance_totals
    where usage_date = ${DAY} and metric in ('devices_total', 'payload_source_count') order by metric`;
  const sum = () => ledger.asProgram(sql`select losant_usage_internal.sum_days(${INSTANCE})`);

  test('are unset by a load that changes or settles a number, and added up again at the end of the run', async () => {
    await ledger.clear();
    await ledger.prepare();
    const [one, two] = [await wanted('device_counts'), await wanted('device_counts')];
    await ledger.load([devicesOf(one, 4, 1, 17), devicesOf(two, 4, 1, 3)]);
    expect(await ledger.list(sums)).toEqual(['devices_total - -']);
    await sum();
    expect(await ledger.list(sums)).toEqual(['devices_total 20 2']);
    await ledger.load([devicesOf(one, 4, 1, 17)], { runId: RUN_2 });
    expect(await ledger.list(sums)).toEqual(['devices_total 20 2']);
    const sentAtMs = at('2026-11-24T00:00:00.000Z');
    await ledger.load([{ ...devicesOf(one, 4, 1, 17), sentAtMs }], { runId: RUN_2 });
    expect(await ledger.list(sums)).toEqual(['devices_total - 2']);
    await sum();
    expect(await ledger.list(sums)).toEqual(['devices_total 20 1']);
  });

  test('are counted once each, also before the planner knows how many rows there are', async () => {
    const [source] = await ledger.ask(sql`select prosrc from pg_proc where proname = 'sum_days'`);
    const statement = (source as { prosrc: string }).prosrc
      .replaceAll('for_instance', `'${INSTANCE}'`)
      .replaceAll('most_days', '10');
    const joinOf = async (query: string) => {
      const lines = await ledger.list(sql`explain (costs off) ${sql.raw(query)}`, ledger.db);
      return lines.slice(lines.indexOf('  CTE summed')).join('\n');
    };
    expect(await joinOf(statement)).not.toContain('Aggregate');
    // Without the fences, the nested loops count again for each of their rows.
    const unfenced = await joinOf(statement.replaceAll('as materialized', 'as'));
    expect(unfenced.match(/Nested Loop Left Join/g)).toHaveLength(4);
    expect(unfenced).toContain('Aggregate');
  });
});

describe('answers that were set aside', () => {
  const problem = 'created: is negative (-1)';
  const newCells = () => ledger.want({ from: DAY, to: '2026-11-21' }, ['device_counts', 'payload_totals']);
  const keep = (...batch: readonly Answered[]) => loadBatch(ledger.writer(), batch);
  const bodyOf = (
    orgId: string,
    { code = 'invalid_value', texts = ['{"counts":[]}'], days = [DAY], stream = 'device_counts' } = {},
  ): Answered => {
    const verdict = { kind: 'quarantined', code, message: problem } as const;
    const sent = { sentAtMs: ledger.nowMs, sha256: null, verdict };
    return { answers: days.map((day) => ({ orgId, stream, day, ...sent })), texts };
  };
  const kept = async (orgId: string) => {
    const rows = await ledger.ask(
      sql`select from_date, code, problem, body_truncated, run_id, body_gzip
      from losant_usage.quarantine where org_id = ${orgId}`,
      ledger.db,
    );
    return rows.map((row) => {
      const { body_gzip: body, ...known } = row as { body_gzip: Buffer };
      return { ...known, body: gunzipSync(body).toString('utf8') };
    });
  };

  test('are kept with their bodies as they came, one after the other, and cut at 256 KiB', async () => {
    const [one, two] = [await newCells(), await newCells()];
    await keep(
      bodyOf(one, { texts: ['{"counts":[{"ü\\u0000":1}]}', '<html>\r\n</html>', 'null'] }),
      bodyOf(two, { texts: ['x'.repeat(300_000)] }),
    );
    const known = { from_date: DAY, code: 'invalid_value', problem, run_id: RUN_1 };
    const body = '{"counts":[{"ü\\u0000":1}]}\n<html>\r\n</html>\nnull';
    expect(await kept(one)).toEqual([{ ...known, body_truncated: false, body }]);
    expect(await kept(two)).toEqual([{ ...known, body_truncated: true, body: 'x'.repeat(262_144) }]);
  });

  test('are kept once while they stay the same, and each that is other', async () => {
    const orgId = await newCells();
    const [own, other] = [bodyOf(orgId), bodyOf(orgId, { texts: ['{"counts":[1]}'] })];
    for (const each of [own, own, other, own, bodyOf(orgId, { code: 'unplaceable_body' })]) await keep(each);
    expect(await kept(orgId)).toHaveLength(4);
    await keep(bodyOf(orgId, { days: ['2026-11-21', DAY] }), bodyOf(orgId, { stream: 'payload_totals' }));
    expect(await kept(orgId)).toHaveLength(6);
  });
});
