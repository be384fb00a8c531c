/** Loading: what `applyResponse` decides is written together or not at all, and revisions record every change. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { acquireLease } from '../../src/ledger/lease.ts';
import { loadBatch } from '../../src/ledger/load.ts';
import type { CellResponse } from '../../src/usage/cell.ts';
import type { PayloadSources } from '../../src/usage/numbers.ts';
import { openAs } from '../support/databases.ts';
import { portOf, startWire, through } from '../support/wire.ts';
import { devices, failed, hours, minutes, report, sources, totals } from '../usage/cells.ts';
import { at, cellResponse, RUN_1, RUN_2, useLedger } from './ledger.ts';

const DAY = '2026-11-20';
const ALL = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals', 'payload_hours'];
const ledger = useLedger('2026-11-22T12:00:00.000Z');

beforeAll(async () => {
  await ledger.prepare();
});

/** Creates an organization with cells of the streams on one day. */
const createOrg = (...streams: readonly string[]) => ledger.expectDays({ from: DAY, to: DAY }, streams);
const deviceResponse = (orgId: string, ...numbers: [number, number, number]) =>
  cellResponse(orgId, 'device_counts', DAY, report(devices(...numbers)));
const numbersOf = (orgId: string) =>
  ledger.queryAsWriter(sql`select jsonb_strip_nulls(to_jsonb(d) - array['usage_date', 'month', 'org_id', 'standing',
    'is_waiting', 'is_stored', 'changed_at']) as numbers
    from losant_usage.usage_days d where org_id = ${orgId}`);
const revisionsOf = (orgId: string) =>
  ledger.list(sql`select stream, revision, old, new, was_final, run_id
    from losant_usage.revisions where org_id = ${orgId} order by id`);
const rowVersionsOf = (orgId: string) =>
  ledger.listAsWriter(sql`select xmin, ctid::text from losant_usage.usage_days where org_id = ${orgId}`);

describe('a load', () => {
  test('writes numbers of every kind and all columns of the ledger; the first load is not a revision', async () => {
    const orgId = await createOrg(...ALL);
    const result = await ledger.load([
      deviceResponse(orgId, 4, 1, 17),
      cellResponse(orgId, 'notebook_minutes', DAY, report(minutes(17, 4))),
      cellResponse(orgId, 'payload_sources', DAY, report(sources(21))),
      cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 9_007_199_254_740_991))),
      cellResponse(orgId, 'payload_hours', DAY, report(hours(17, 21, 900))),
    ]);
    const stored = { ...devices(4, 1, 17), ...minutes(17, 4), ...sources(21), ...hours(17, 21, 900) };
    expect(await numbersOf(orgId)).toEqual([{ numbers: { ...stored, ...totals(17, 21, 9_007_199_254_740_991) } }]);
    const row = sql`select standing, is_stored, is_reported, revision, failed_reads, last_read_at,
        last_attempt_at, first_loaded_at, next_read_at, finalized_at, run_id, reason, detail, encode(response_sha256, 'hex')
      from losant_usage.coverage where org_id = ${orgId} and stream = 'device_counts'`;
    const sentAt = '2026-11-22T12:00:00.000Z';
    const times = `${sentAt} ${sentAt} ${sentAt} 2026-11-23T00:00:00.000Z -`;
    expect(await ledger.listAsWriter(row)).toEqual([`stored true true 1 0 ${times} ${RUN_1} - - ${'a'.repeat(64)}`]);
    expect(await revisionsOf(orgId)).toEqual([]);
    const written = { result: 'loaded', differences: null };
    expect(result[0]).toMatchObject({ ...written, cell: { standing: 'stored' }, previous: { wasFinal: false } });
  });

  test('of equal numbers updates no row of numbers', async () => {
    const orgId = await createOrg('device_counts');
    const final = { ...deviceResponse(orgId, 4, 1, 17), sentAtMs: at('2026-11-24T11:00:00.000Z') };
    await ledger.load([final]);
    const versionsBefore = await rowVersionsOf(orgId);
    const later = { ...final, sentAtMs: at('2026-11-24T12:00:00.000Z') };
    const result = await ledger.load([later], { runId: RUN_2 });
    expect(await rowVersionsOf(orgId)).toEqual(versionsBefore);
    expect(result).toMatchObject([{ result: 'unchanged' }]);
    expect(await revisionsOf(orgId)).toEqual([]);
    expect(await ledger.cells(orgId)).toEqual(['11-20 device_counts final  11-28T00:00']);
  });

  test('of other numbers records the differences, even of final numbers', async () => {
    const orgId = await createOrg('device_counts', 'payload_sources');
    const late = at('2026-11-24T12:00:00.000Z');
    const first = { payload_source_count: 3, payload_sources: { a: { b: 1 }, gone: { c: 2 } } };
    const next = { payload_source_count: 6, payload_sources: { a: { b: 1 }, come: { d: 5 } } };
    const batch = (...[counts, split]: [Parameters<typeof devices>, typeof first | typeof next]) => [
      { ...deviceResponse(orgId, ...counts), sentAtMs: late },
      { ...cellResponse(orgId, 'payload_sources', DAY, report(split)), sentAtMs: late },
    ];
    await ledger.load(batch([4, 1, 17], first));
    const result = await ledger.load(batch([4, 2, 18], next), { runId: RUN_2 });
    const restatement = { result: 'loaded', previous: { wasFinal: true } };
    expect(result).toMatchObject([restatement, restatement]);
    const [oldSources, newSources] = ['{"come":{"d":null},"gone":{"c":2}}', '{"come":{"d":5},"gone":{"c":null}}'];
    expect(await revisionsOf(orgId)).toEqual([
      `device_counts 2 {"devices_total":17,"devices_deleted":1} {"devices_total":18,"devices_deleted":2} true ${RUN_2}`,
      `payload_sources 2 {"payload_sources":${oldSources},"payload_source_count":3} ` +
        `{"payload_sources":${newSources},"payload_source_count":6} true ${RUN_2}`,
    ]);
    const standing = sql`select revision, standing, finalized_at from losant_usage.coverage where org_id = ${orgId}`;
    const final = '2 final 2026-11-24T12:00:00.000Z';
    expect(await ledger.listAsWriter(standing)).toEqual([final, final]);
  });

  test('of one stream leaves the numbers of other streams, even if its batch has those for others', async () => {
    const streams = ['device_counts', 'notebook_minutes'];
    const [one, two] = [await createOrg(...streams), await createOrg(...streams)];
    const read = cellResponse(one, 'notebook_minutes', DAY, report(minutes(17, 4)));
    await ledger.load([deviceResponse(one, 4, 1, 17), read]);
    const next = [deviceResponse(one, 5, 1, 18), cellResponse(two, 'notebook_minutes', DAY, report(minutes(1, 1)))];
    await ledger.load(next, { runId: RUN_2 });
    expect(await numbersOf(one)).toEqual([{ numbers: { ...devices(5, 1, 18), ...minutes(17, 4) } }]);
    expect(await numbersOf(two)).toEqual([{ numbers: minutes(1, 1) }]);
  });

  test('stores keys with a meaning in JavaScript, and any text', async () => {
    const orgId = await createOrg('payload_sources');
    const text = '{"toString":{"__proto__":1,"constructor":2},"\'); drop table x; --":{"ü \\"\\\\ {} , 😀":3}}';
    const split = JSON.parse(text) as PayloadSources;
    const numbers = { payload_source_count: 6, payload_sources: split };
    const read = [cellResponse(orgId, 'payload_sources', DAY, report(numbers))];
    await ledger.load(read);
    expect(await ledger.load(read, { runId: RUN_2 })).toMatchObject([{ result: 'unchanged' }]);
    const rows = sql`select payload_type, source, count from losant_usage.payload_sources
      where org_id = ${orgId} order by count`;
    const strange = '\'); drop table x; -- ü "\\ {} , 😀 3';
    expect(await ledger.list(rows)).toEqual(['toString __proto__ 1', 'toString constructor 2', strange]);
  });
});

describe('a batch', () => {
  test('is loaded only under the current lease', async () => {
    const orgId = await createOrg('device_counts');
    const lease = await acquireLease(ledger.db, { runId: RUN_1, host: 'one' });
    await ledger.load([deviceResponse(orgId, 4, 1, 17)], { lease });
    await sql`update losant_usage.lease set expires_at = expires_at - interval '2 minutes'`.execute(ledger.db);
    await acquireLease(ledger.db, { runId: RUN_2, host: 'two' });
    const loadByFormerHolder = ledger.load([deviceResponse(orgId, 9, 9, 9)], { lease });
    await expect(loadByFormerHolder).rejects.toMatchObject({ name: 'BusyError', kind: 'lease_lost' });
    expect(await numbersOf(orgId)).toEqual([{ numbers: devices(4, 1, 17) }]);
    await sql`delete from losant_usage.lease`.execute(ledger.db);
  });

  test('whose commit was not confirmed counts as loaded, and is not loaded again', async () => {
    const orgId = await createOrg('device_counts', 'notebook_minutes');
    await using wire = await startWire(portOf(ledger.url));
    await using handle = await openAs('writer', through(wire, ledger.url));
    wire.onSent = (_, bytes) => {
      if (bytes.includes('commit\0')) {
        wire.onSent = () => 'pass';
        setImmediate(() => wire.cut());
        setTimeout(() => wire.mend(), 50);
      }
      return 'pass';
    };
    const minutesResponse = cellResponse(orgId, 'notebook_minutes', DAY, report(minutes(17, 4)));
    const updates = await ledger.load([deviceResponse(orgId, 4, 1, 17), minutesResponse], { db: handle.db });
    expect(updates).toMatchObject([{ result: 'loaded' }, { result: 'loaded' }]);
    expect(await rowVersionsOf(orgId)).toHaveLength(1);
    expect(await numbersOf(orgId)).toEqual([{ numbers: { ...devices(4, 1, 17), ...minutes(17, 4) } }]);
  });

  test('that is loaded again changes nothing', async () => {
    const orgId = await createOrg('device_counts', 'notebook_minutes');
    const batch = [deviceResponse(orgId, 4, 1, 17), cellResponse(orgId, 'notebook_minutes', DAY, failed)];
    await ledger.load(batch);
    const row = sql`select failed_reads, revision from losant_usage.coverage where org_id = ${orgId} order by stream`;
    const rowsBefore = await ledger.listAsWriter(row);
    expect(await ledger.load(batch)).toMatchObject([{ result: 'unchanged' }, { result: 'failed' }]);
    expect(await ledger.listAsWriter(row)).toEqual(rowsBefore);
    expect(rowsBefore[1]).toBe('1 0');
  });

  test.each([
    ['a number above 2^53 - 1', report(devices(1, 1, 9_007_199_254_740_992)), '23514'],
    ['a number that is too large for Postgres', report(devices(1, 1, 1e19)), '22003'],
    ['a number that is not an integer', report(devices(1, 1, 0.5)), '22P02'],
  ])('that the database rejects changes nothing: %s', async (_, verdict, code) => {
    const orgId = await createOrg('device_counts', 'notebook_minutes');
    const good = cellResponse(orgId, 'notebook_minutes', DAY, report(minutes(17, 4)));
    const batch = [cellResponse(orgId, 'device_counts', DAY, verdict), good];
    await expect(ledger.load(batch)).rejects.toMatchObject({ code });
    expect(await numbersOf(orgId)).toEqual([{ numbers: {} }]);
    expect(await ledger.cells(orgId)).toEqual([
      '11-20 device_counts waiting never_read 11-21T00:00',
      '11-20 notebook_minutes waiting never_read 11-21T00:00',
    ]);
    // The half of the batch without it is loaded.
    await ledger.load([good]);
    expect(await numbersOf(orgId)).toEqual([{ numbers: minutes(17, 4) }]);
  });

  test('is not loaded by a host whose clock has drifted since the run started', async () => {
    const orgId = await createOrg('device_counts');
    const loadWithDrift = (ms: number, sentAtMs = ledger.nowMs) =>
      ledger.load([{ ...deviceResponse(orgId, 4, 1, 17), sentAtMs }], { now: () => ledger.nowMs + ms });
    const clockSkew = { kind: 'clock_skew' };
    for (const ms of [30_001, -30_001]) await expect(loadWithDrift(ms)).rejects.toMatchObject(clockSkew);
    await expect(loadWithDrift(0, ledger.nowMs + 30_001)).rejects.toMatchObject(clockSkew);
    await expect(loadWithDrift(0, at('2026-11-20T23:59:00.000Z'))).rejects.toMatchObject(clockSkew);
    expect(await numbersOf(orgId)).toEqual([{ numbers: {} }]);
    await loadWithDrift(30_000);
    expect(await numbersOf(orgId)).toEqual([{ numbers: devices(4, 1, 17) }]);
  });
});

describe('quarantined responses', () => {
  const problem = 'created: is negative (-1)';
  const newCells = () => ledger.expectDays({ from: DAY, to: '2026-11-21' }, ['device_counts', 'payload_totals']);
  const load = (...slices: readonly CellResponse[][]) => loadBatch(ledger.writer(), slices.flat());
  const NEGATIVE = { code: 'invalid_value', detail: problem, texts: ['{}'], days: [DAY], stream: 'device_counts' };
  const quarantined = (orgId: string, changes: Partial<typeof NEGATIVE> = {}): CellResponse[] => {
    const { code, detail, texts, days, stream } = { ...NEGATIVE, ...changes };
    const verdict = { kind: 'quarantined', code, detail } as const;
    return days.map((day) => ({ orgId, stream, day, sentAtMs: ledger.nowMs, texts, sha256: null, verdict }));
  };
  const readQuarantine = async (orgId: string) => {
    const rows = await ledger.queryAsWriter(sql`select first_day, reason, detail, body_truncated, run_id, body_gzip
      from losant_usage.quarantine where org_id = ${orgId}`);
    return rows.map((row) => {
      const { body_gzip: body, ...columns } = row as { body_gzip: Buffer };
      return { ...columns, body: gunzipSync(body).toString('utf8') };
    });
  };

  test('are stored with their bodies as received, joined by line feeds and cut at 256 KiB', async () => {
    const [one, two] = [await newCells(), await newCells()];
    await load(
      quarantined(one, { texts: ['{"counts":[{"ü\\u0000":1}]}', '<html>\r\n</html>', 'null'] }),
      quarantined(two, { texts: ['x'.repeat(300_000)] }),
    );
    const columns = { first_day: DAY, reason: 'invalid_value', detail: problem, run_id: RUN_1 };
    const body = '{"counts":[{"ü\\u0000":1}]}\n<html>\r\n</html>\nnull';
    expect(await readQuarantine(one)).toEqual([{ ...columns, body_truncated: false, body }]);
    expect(await readQuarantine(two)).toEqual([{ ...columns, body_truncated: true, body: 'x'.repeat(262_144) }]);
  });

  test('are stored once while they are the same, and again when they differ', async () => {
    const orgId = await newCells();
    const [one, two] = [quarantined(orgId), quarantined(orgId, { detail: 'it is null', texts: ['{"counts":[1]}'] })];
    for (const each of [one, one, two, one, quarantined(orgId, { code: 'unplaceable_body' })]) await load(each);
    expect(await readQuarantine(orgId)).toHaveLength(4);
    await load(quarantined(orgId, { days: ['2026-11-21', DAY] }), quarantined(orgId, { stream: 'payload_totals' }));
    expect(await readQuarantine(orgId)).toHaveLength(6);
  });

  test.each([
    ['23 hours', 1],
    ['25 hours', 2],
  ])('that differ in nothing but their bodies are stored again after a day, not after %s', async (age, rows) => {
    const orgId = await newCells();
    await ledger.write(sql`
      insert into losant_usage.quarantine
        (org_id, stream, first_day, last_day, reason, detail, body_sha256, body_truncated, run_id, body_gzip, seen_at)
      select ${orgId}, 'device_counts', ${DAY}::date, ${DAY}::date, 'invalid_value', ${problem}, '', false,
        ${RUN_1}::uuid, ${gzipSync('')}::bytea, clock_timestamp() - ${age}::interval`);
    await load(quarantined(orgId));
    expect(await readQuarantine(orgId)).toHaveLength(rows);
  });
});
