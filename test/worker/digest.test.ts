import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { acquireLease, releaseLease } from '../../src/ledger/lease.ts';
import { INSTANCE } from '../ledger/ledger.ts';
import { asOwner } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { fakeTimers } from '../support/wait.ts';
import { OTHER, SECRET, TODAY, useDigests } from './digests.ts';

const { ledger, messages, receiver, createTimer, addOrg } = useDigests();

const lack = (name: string, instanceId = INSTANCE) =>
  addOrg({ name, instanceId, payloads: (day) => (day === '2026-11-20' ? null : 10) });
/** Reads yesterday again, so that it is not missing as a whole. */
const readYesterday = () => ledger.asProgram(sql`update losant_usage.tracks set last_day = '2026-11-23'`);
/** Lets another process run an instance for a day. */
const holdLease = async (instanceId = INSTANCE) => {
  const lease = await acquireLease(ledger.db, { instanceId, runId: randomUUID(), host: 'elsewhere' });
  await ledger.asProgram(sql`update losant_usage.leases set expires_at = now() + interval '1 day'`);
  return lease;
};
/** Lets the database reject rows of a table that do not meet a condition, and accept them again. */
const block = (table: string, condition: string) =>
  asOwner(ledger.url, `alter table losant_usage.${table} add constraint blocked check (${condition}) not valid`);
const unblock = (table: string) => asOwner(ledger.url, `alter table losant_usage.${table} drop constraint blocked`);
const digests = async () =>
  await ledger.list(sql`select i.name, d.day, d.outcome, d.error from losant_usage.digests d
    join losant_usage.instances i on i.instance_id = d.instance_id order by d.day, i.name`);

test('a digest is sent at its time, once a day, also after a restart, and says what is new', async () => {
  const timer = createTimer({ at: '10:30 Europe/Berlin' });
  await lack('Kestrel');
  await timer.check(`${TODAY}T09:29:59.000Z`);
  expect(messages).toEqual([]);
  await timer.check(`${TODAY}T09:30:00.000Z`);
  await timer.checkFor(3);
  await createTimer().check(`${TODAY}T16:00:00.000Z`);
  expect(messages).toHaveLength(1);
  expect(messages[0]?.split('\n').slice(0, 3)).toEqual([
    expect.stringMatching(/^Data of 1 organization is missing; \d things? (is|are) new/),
    'Data missing: Kestrel (payload_totals since 2026-11-20)',
    expect.any(String),
  ]);
  expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
});

test.each([
  ['2026-11-25T00:00:00.000Z', '08:00 Asia/Singapore', null, []],
  ['2026-11-26T00:00:00.000Z', '08:00 Asia/Singapore', null, ['Yesterday was not read: 2026-11-25']],
  ['2026-11-25T04:00:00.000Z', '08:00 Asia/Dubai', 'HTTP 401', ['Yesterday was not read: 2026-11-24: HTTP 401']],
])('a digest at %s, which is %s, misses no day that has only just ended, unless runs fail', async (...situation) => {
  const [instant, at, lastError, expected] = situation;
  await ledger.asProgram(sql`update losant_usage.instances set last_error = ${lastError}`);
  await createTimer({ at }).check(instant);
  expect(messages).toEqual(expected);
});

describe('a receiver', () => {
  beforeEach(() => lack('Kestrel'));

  test('that is busy or fails is tried again after a minute', async () => {
    const statuses = [408, 429, 500];
    receiver.respond = (response, number) => response.writeHead(statuses[number - 1] ?? 204).end();
    const timer = createTimer();
    await timer.check();
    expect(await digests()).toEqual([`Main ${TODAY} - HTTP 408`]);
    await timer.check(`${TODAY}T09:00:30.000Z`);
    expect(messages).toHaveLength(1);
    for (const status of [429, 500]) {
      await timer.checkFor(1);
      expect(await digests()).toEqual([`Main ${TODAY} - HTTP ${status}`]);
    }
    await timer.checkFor(2);
    expect(messages).toHaveLength(4);
    expect(new Set(messages).size).toBe(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });

  test('that fails is tried for an hour, and the next day says what was new then', async () => {
    receiver.respond = (response) => response.writeHead(503).end();
    const timer = createTimer();
    await timer.check();
    await timer.check(`${TODAY}T09:59:00.000Z`);
    expect(await digests()).toEqual([`Main ${TODAY} - HTTP 503`]);
    await timer.checkFor(3);
    expect(messages).toHaveLength(3);
    expect(await digests()).toEqual([`Main ${TODAY} failed HTTP 503`]);
    receiver.respond = (response) => response.end();
    await readYesterday();
    await timer.check('2026-11-25T08:00:00.000Z');
    expect(messages.at(-1)).toContain('Data missing: Kestrel');
  });

  test('that rejects the message ends the day', async () => {
    receiver.respond = (response) => response.writeHead(404).end();
    const timer = createTimer();
    await timer.check();
    await timer.checkFor(2);
    expect(messages).toHaveLength(1);
    expect(await digests()).toEqual([`Main ${TODAY} rejected HTTP 404`]);
  });

  test('that does not respond does not delay the end of the worker, and is sent the digest by the next one', async () => {
    receiver.respond = (response, number) => {
      if (number === 1) stop.abort();
      else response.end();
    };
    const stop = new AbortController();
    await createTimer({ signal: stop.signal }).check();
    expect(await digests()).toEqual([`Main ${TODAY} - no connection`]);
    const next = createTimer();
    await next.checkFor(4);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });

  test('that is not there, closes the connection or does not respond is tried again', async () => {
    fakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    receiver.respond = (response, number) => {
      if (number === 1) response.destroy();
      else if (number === 2) vi.advanceTimersByTime(10_000);
      else response.end();
    };
    const timer = createTimer();
    await timer.check();
    expect(await digests()).toEqual([`Main ${TODAY} - no connection`]);
    await timer.checkFor(1);
    expect(await digests()).toEqual([`Main ${TODAY} - timeout`]);
    await timer.checkFor(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
    expect(JSON.stringify(timer.logged)).not.toContain(SECRET);
    expect(timer.logged.map(({ msg }) => msg)).toEqual(['digest not delivered', 'digest not delivered', 'digest sent']);
  });

  test('gets no second message because the first could not be recorded', async () => {
    await block('digests', 'outcome is null');
    let isLoading = false;
    const timer = createTimer({ isLoading: () => isLoading });
    await timer.check();
    await timer.checkFor(2);
    expect(timer.logged.map(({ msg }) => msg)).toEqual(['could not handle the digest; trying again']);
    await unblock('digests');
    // What was sent is recorded even during a run: a claim does not last as long as one.
    isLoading = true;
    await timer.checkFor(1);
    expect(messages).toHaveLength(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });
});

describe('several workers', () => {
  beforeEach(async () => {
    await addOrg({ name: 'Quiet', instanceId: OTHER });
    await createTimer({ notify: null, instanceIds: [OTHER] }).check(`${TODAY}T08:00:00.000Z`);
    await ledger.setTime(`${TODAY}T09:00:00.000Z`);
    await lack('Kestrel');
    await lack('Polaris', OTHER);
  });
  const both = { instanceIds: [INSTANCE, OTHER] };

  test('send each instance once, in one message', async () => {
    const timers = [createTimer(both), createTimer(both), createTimer(both)];
    await Promise.all(timers.map((timer) => timer.check()));
    for (const timer of timers) await timer.checkFor(2);
    expect(messages).toHaveLength(1);
    expect(messages[0]).toContain('Data missing: Main: Kestrel');
    expect(await digests()).toEqual([`East ${TODAY} sent -`, `Main ${TODAY} sent -`]);
  });

  test('send what another one has not claimed', async () => {
    await createTimer().check();
    await createTimer(both).check();
    expect(messages).toHaveLength(2);
    expect(messages[0]).toContain('Kestrel');
    expect(messages[1]).toContain('Polaris');
    expect(messages[1]).not.toContain('Kestrel');
    expect(await digests()).toEqual([`East ${TODAY} sent -`, `Main ${TODAY} sent -`]);
  });

  test('take over from one that has died once its claim has expired', async () => {
    receiver.respond = (response, number) => response.writeHead(number === 1 ? 503 : 200).end();
    await createTimer().check();
    const second = createTimer();
    await second.checkFor(2);
    expect(messages).toHaveLength(1);
    await second.checkFor(1);
    expect(messages).toHaveLength(2);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });
});

test('after a missed night the next digest says what became new, and nothing twice', async () => {
  await lack('Kestrel');
  await readYesterday();
  await createTimer().check();
  await lack('Polaris');
  await readYesterday();
  await createTimer({ notify: null }).check('2026-11-25T08:00:00.000Z');
  await createTimer().check('2026-11-26T08:00:00.000Z');
  expect(messages).toHaveLength(2);
  expect(messages[1]).toContain('Data missing: Polaris (payload_totals since 2026-11-20)\n');
});

test('a digest waits for a run of this or another process, for an hour at most', async () => {
  await lack('Kestrel');
  let isLoading = true;
  const timer = createTimer({ isLoading: () => isLoading });
  await timer.check();
  isLoading = false;
  const lease = await holdLease();
  await timer.check(`${TODAY}T09:59:59.000Z`);
  expect(messages).toEqual([]);
  await timer.check(`${TODAY}T10:00:00.000Z`);
  // The other process has not refreshed, so the table is that of the morning.
  expect(messages).toEqual([]);
  expect(await digests()).toEqual([`Main ${TODAY} nothing_new -`]);
  await releaseLease(ledger.db, lease);
});

test('a digest waits for another process that refreshes what needs attention, for an hour at most', async () => {
  await lack('Kestrel');
  const timer = createTimer();
  const whileRefreshed = async (instant: string) =>
    await ledger.withTrigger('leases', `raise sqlstate '55P03';`, async () => await timer.check(instant));
  await whileRefreshed(`${TODAY}T09:00:00.000Z`);
  expect(await digests()).toEqual([]);
  await timer.checkFor(1);
  expect(messages).toEqual([expect.stringContaining('Data missing: Kestrel')]);
  await whileRefreshed('2026-11-25T08:00:00.000Z');
  await whileRefreshed('2026-11-25T09:00:00.000Z');
  expect(await digests()).toHaveLength(2);
});

test('after a long outage of the database, a digest waits for the run that follows', async () => {
  await lack('Kestrel');
  let isLoading = true;
  const timer = createTimer({ isLoading: () => isLoading });
  await asOwner(ledger.url, 'alter schema losant_usage rename to gone');
  await timer.check();
  await timer.check(`${TODAY}T11:00:00.000Z`);
  await asOwner(ledger.url, 'alter schema gone rename to losant_usage');
  await timer.checkFor(1);
  expect(messages).toEqual([]);
  isLoading = false;
  await timer.checkFor(1);
  expect(messages[0]).toContain('Data missing: Kestrel');
});

test('a clock of the host that is ahead neither names a wrong day nor keeps later digests back', async () => {
  await lack('Kestrel');
  let hostMs = Date.parse('2031-01-01T12:00:00.000Z');
  const timer = createTimer({ hostNow: () => hostMs });
  await timer.check();
  await timer.check();
  expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  await ledger.setTime('2026-11-25T08:00:00.000Z');
  hostMs = ledger.nowMs;
  await timer.check();
  expect(await digests()).toEqual([`Main ${TODAY} sent -`, 'Main 2026-11-25 sent -']);
  expect(messages).toHaveLength(2);
});

test('during the first run of an instance, its digest comes an hour later and says so', async () => {
  const timer = createTimer({ instanceIds: [OTHER] });
  const lease = await holdLease(OTHER);
  await ledger.asProgram(sql`update losant_usage.instances set attention_at = null where instance_id = ${OTHER}`);
  await timer.check();
  await timer.check(`${TODAY}T09:59:59.000Z`);
  expect(messages).toEqual([]);
  await timer.check(`${TODAY}T10:00:00.000Z`);
  expect(messages).toEqual(['Not known yet, because the first read is still in progress']);
  await releaseLease(ledger.db, lease);
});

test('an instance that was never read is the message of every day until it is read', async () => {
  await ledger.asProgram(sql`update losant_usage.instances set last_error = 'HTTP 401' where instance_id = ${OTHER}`);
  const timer = createTimer({ instanceIds: [INSTANCE, OTHER] });
  await timer.check();
  await readYesterday();
  await timer.check('2026-11-25T08:00:00.000Z');
  for (const message of messages) expect(message.split('\n')[0]).toBe('East: never read: East: HTTP 401');
  expect(messages).toHaveLength(2);
});

test('a refresh that fails does not hold up the digest', async () => {
  await lack('Kestrel');
  await createTimer({ notify: null }).check();
  await block('instances', 'attention_at is null');
  const timer = createTimer();
  await timer.checkFor(1);
  await unblock('instances');
  expect(messages[0]).toContain('Data missing: Kestrel');
  expect(timer.logged.map(({ msg }) => msg)).toEqual(['could not refresh what needs attention', 'digest sent']);
});

test('while nothing can be written, warnings are logged once', async () => {
  for (const table of ['instances', 'digests']) await block(table, 'false');
  const timer = createTimer();
  for (let attempt = 0; attempt < 3; attempt += 1) await timer.check();
  for (const table of ['instances', 'digests']) await unblock(table);
  const warnings = timer.logged.map(({ msg }) => msg);
  const expected = ['could not refresh what needs attention', 'could not handle the digest; trying again'];
  expect(new Set(warnings)).toEqual(new Set(expected));
  expect(warnings.length).toBeLessThanOrEqual(3);
  await timer.checkFor(1);
  expect(timer.logged.at(-1)?.['msg']).toMatch(/^(digest sent|nothing new for a digest)$/);
});

test('without a receiver the table is refreshed once a day, and nothing is sent', async () => {
  const readAge = async () =>
    await ledger.list(sql`select attention_at from losant_usage.instances where instance_id = ${INSTANCE}`);
  const timer = createTimer({ notify: null });
  await timer.check('2026-11-25T08:00:00.000Z');
  await timer.checkFor(5);
  expect(await readAge()).toEqual(['2026-11-25T08:00:00.000Z']);
  expect([messages, await digests()]).toEqual([[], []]);
});

test('the command digest prints the same and writes nothing, and status shows the outcome', async () => {
  await lack('Kestrel');
  await createTimer().check();
  const env = { DATABASE_URL: ledger.url, LOSANT_INSTANCE_ID: INSTANCE };
  const io = { hostNow: () => ledger.nowMs };
  const before = await ledger.list(sql`select * from losant_usage.attention_items order by kind, subject`);
  const printed = await runProgram(['digest'], env, io);
  expect(printed.stdout).toContain(messages[0]);
  expect(printed.stdout).toContain(`Instance ${INSTANCE}: as of ${TODAY} 09:00 UTC.`);
  const document = jsonOf<{ day: string; isDue: boolean }>(await runProgram(['digest', '--json'], env, io));
  expect(document).toMatchObject({ day: TODAY, isDue: true });
  expect(await ledger.list(sql`select * from losant_usage.attention_items order by kind, subject`)).toEqual(before);
  const status = await runProgram(['status'], env, io);
  expect(status.stdout).toContain(`needs attention (as of ${TODAY} 09:00 UTC):`);
  expect(status.stdout).toContain('Kestrel (payload_totals since 2026-11-20)');
  expect(status.stdout).toContain(`digest of ${TODAY}: sent`);
});

test('the command digest does not say that no data is missing if nothing was refreshed for longer than a day', async () => {
  await createTimer().check();
  const env = { DATABASE_URL: ledger.url, LOSANT_INSTANCE_ID: INSTANCE };
  const digestAt = async (time: string) => {
    await ledger.setTime(`2026-11-25T${time}.000Z`);
    return (await runProgram(['digest'], env, { hostNow: () => ledger.nowMs })).stdout;
  };
  const [aDay, longer] = [await digestAt('10:00:00'), await digestAt('10:00:01')];
  expect(aDay).toMatch(/^No data is missing; nothing is new, 1 ongoing \(as of 2026-11-24 09:00 UTC\)\n/);
  expect(longer).toMatch(/^Not known since 2026-11-24 09:00 UTC; losant-usage status shows why\n\n/);
});
