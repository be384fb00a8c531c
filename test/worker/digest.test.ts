/** The timer of the digest, with a real receiver and a database whose clock the tests set. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import { acquireLease, releaseLease } from '../../src/ledger/lease.ts';
import { parseNotifyTime } from '../../src/settings/notify-time.ts';
import { addDays, type DayRange, eachDay } from '../../src/usage/day.ts';
import { DigestTimer } from '../../src/worker/digest.ts';
import { INSTANCE, useFreshLedger } from '../ledger/ledger.ts';
import { addPayloadOrg, type PayloadOrg } from '../ledger/payload-orgs.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { asOwner } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { recordLog } from './loop.ts';

/** A Tuesday. */
const TODAY = '2026-11-24';
const OTHER = '5c0000000000000000000002';
const SECRET = 'canary-webhook-77ab01';
const ledger = useFreshLedger(`${TODAY}T07:30:00.000Z`);

let receiver: TestServer;
/** The texts of the messages that arrived. */
const messages: string[] = [];
let respond: (response: ServerResponse, number: number) => void = (response) => void response.end();

beforeAll(async () => {
  receiver = await startServer((request, response) => {
    void readText(request.stream).then((body) => {
      messages.push((JSON.parse(body) as { text: string }).text);
      respond(response, messages.length);
    });
  });
});
afterAll(() => receiver[Symbol.asyncDispose]());

beforeEach(async () => {
  messages.length = 0;
  respond = (response) => void response.end();
  await ledger.asProgram(
    sql`delete from losant_usage.leases`,
    sql`insert into losant_usage.instances (instance_id, name, api_url)
      values (${OTHER}, 'East', 'https://api.example.com') on conflict do nothing`,
    sql`update losant_usage.instances set name = 'Main' where instance_id = ${INSTANCE}`,
  );
  // The first refresh, in which nothing is new.
  await addOrg({ name: 'Calm' });
  await createTimer({ notify: null }).check(`${TODAY}T08:00:00.000Z`);
  await ledger.setTime(`${TODAY}T09:00:00.000Z`);
});

interface TestTimer {
  readonly at?: string;
  readonly notify?: null;
  readonly instanceIds?: readonly string[];
  readonly isLoading?: () => boolean;
}

function createTimer({
  at = '08:00',
  instanceIds = [INSTANCE],
  isLoading = () => false,
  ...options
}: TestTimer = {}) {
  const { logged, logger } = recordLog();
  const stop = new AbortController();
  const timer = new DigestTimer({
    config: {
      instances: instanceIds.map((instanceId) => ({ instanceId })) as never,
      notify: options.notify === null ? null : { url: `${receiver.url}/${SECRET}`, format: 'json' },
      notifyAt: parseNotifyTime(at) ?? { time: '', timeZone: '' },
      consoleUrl: null,
    },
    handle: ledger.handle,
    logger,
    signal: stop.signal,
    hostNow: () => ledger.nowMs,
    newId: randomUUID,
    host: 'host',
    isLoading,
  });
  return {
    logged,
    /** Sets all clocks, by default not at all, and lets the timer look. */
    check: async (instant?: string) => {
      if (instant !== undefined) await ledger.setTime(instant);
      await timer.check();
    },
    /** Lets the timer look each minute. */
    checkFor: async (minutes: number) => {
      for (let minute = 0; minute < minutes; minute += 1) {
        await ledger.setTime(new Date(ledger.nowMs + 60_000).toISOString());
        await timer.check();
      }
    },
    stop: async () => {
      stop.abort();
      await timer.run();
    },
  };
}

const addOrg = (org: PayloadOrg) => addPayloadOrg(ledger, TODAY, org);
const lack = (name: string, instanceId = INSTANCE) =>
  addOrg({ name, instanceId, payloads: (day) => (day === '2026-11-20' ? null : 10) });
/** Reads yesterday again, so that it is not missing as a whole. */
const readYesterday = () => ledger.asProgram(sql`update losant_usage.tracks set last_day = '2026-11-23'`);
const digests = async () =>
  await ledger.list(sql`select i.name, d.day, d.outcome, d.error from losant_usage.digests d
    join losant_usage.instances i on i.instance_id = d.instance_id order by d.day, i.name`);

test('a digest is sent at its time, once a day, and says what is new', async () => {
  const timer = createTimer({ at: '10:30 Europe/Berlin' });
  await lack('Kestrel');
  await timer.check(`${TODAY}T09:29:59.000Z`);
  expect(messages).toEqual([]);
  await timer.check(`${TODAY}T09:30:00.000Z`);
  await timer.checkFor(3);
  expect(messages).toHaveLength(1);
  expect(messages[0]?.split('\n').slice(0, 3)).toEqual([
    expect.stringMatching(/^Data of 1 organization is missing; \d things? (is|are) new/),
    'Data missing: Kestrel (payload_totals since 2026-11-20)',
    expect.any(String),
  ]);
  expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
});

test('what was named is not new the next day, and if nothing is new there is no message', async () => {
  await lack('Kestrel');
  await readYesterday();
  const timer = createTimer();
  await timer.check();
  await timer.check('2026-11-25T08:00:00.000Z');
  expect(messages).toHaveLength(1);
  expect(await digests()).toEqual([`Main ${TODAY} sent -`, 'Main 2026-11-25 nothing_new -']);
});

test('if yesterday was not read, that is the message of each day', async () => {
  await lack('Kestrel');
  await ledger.asProgram(sql`update losant_usage.instances set last_error = 'HTTP 502'`);
  const timer = createTimer();
  for (const day of ['2026-11-25', '2026-11-26']) await timer.check(`${day}T08:00:00.000Z`);
  expect(messages).toEqual([
    'Yesterday was not read: 2026-11-24: HTTP 502',
    'Yesterday was not read: 2026-11-25: HTTP 502',
  ]);
});

describe('a receiver', () => {
  beforeEach(() => lack('Kestrel'));

  test.each([408, 429, 500, 503])('that responds with %i is tried again after a minute', async (status) => {
    respond = (response, number) => response.writeHead(number < 3 ? status : 204).end();
    const timer = createTimer();
    await timer.check();
    expect(await digests()).toEqual([`Main ${TODAY} - HTTP ${status}`]);
    await timer.check(`${TODAY}T09:00:30.000Z`);
    expect(messages).toHaveLength(1);
    await timer.checkFor(4);
    expect(messages).toHaveLength(3);
    expect(new Set(messages).size).toBe(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });

  test('that fails is tried for an hour, and the next day says what was new then', async () => {
    respond = (response) => response.writeHead(503).end();
    const timer = createTimer();
    await timer.check();
    await timer.checkFor(70);
    expect(messages).toHaveLength(61);
    expect(await digests()).toEqual([`Main ${TODAY} failed HTTP 503`]);
    respond = (response) => response.end();
    await readYesterday();
    await timer.check('2026-11-25T08:00:00.000Z');
    expect(messages.at(-1)).toContain('Data missing: Kestrel');
  });

  test.each([400, 404, 410])('that responds with %i ends the day', async (status) => {
    respond = (response) => response.writeHead(status).end();
    const timer = createTimer();
    await timer.check();
    await timer.checkFor(5);
    expect(messages).toHaveLength(1);
    expect(await digests()).toEqual([`Main ${TODAY} rejected HTTP ${status}`]);
  });

  test('that is not there, closes the connection or does not respond is tried again', async () => {
    respond = (response, number) => {
      if (number === 1) response.destroy();
      else if (number > 2) response.end();
    };
    const timer = createTimer();
    await timer.check();
    expect(await digests()).toEqual([`Main ${TODAY} - no connection`]);
    await timer.checkFor(1);
    expect(await digests()).toEqual([`Main ${TODAY} - timeout`]);
    await timer.checkFor(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
    expect(JSON.stringify(timer.logged)).not.toContain(SECRET);
    expect(timer.logged.map(({ msg }) => msg)).toEqual([
      'digest not delivered',
      'digest not delivered',
      'digest sent',
    ]);
  });

  test('gets no second message because the first could not be recorded', async () => {
    await asOwner(
      ledger.url,
      'alter table losant_usage.digests add constraint blocked check (outcome is null) not valid',
    );
    const timer = createTimer();
    await timer.check();
    await timer.checkFor(2);
    expect(timer.logged.map(({ msg }) => msg)).toEqual(['could not handle the digest; trying again']);
    await asOwner(ledger.url, 'alter table losant_usage.digests drop constraint blocked');
    await timer.checkFor(1);
    expect(messages).toHaveLength(1);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });
});

describe('several workers', () => {
  beforeEach(async () => {
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
    expect(messages[1]).not.toContain('Kestrel');
    expect(await digests()).toEqual([`East ${TODAY} sent -`, `Main ${TODAY} sent -`]);
  });

  test('take over from one that has died once its claim has expired, and from one that stops at once', async () => {
    respond = (response, number) => response.writeHead(number === 1 ? 503 : 200).end();
    await createTimer().check();
    const second = createTimer();
    await second.checkFor(2);
    expect(messages).toHaveLength(1);
    respond = (response) => response.writeHead(503).end();
    await second.checkFor(1);
    expect(messages).toHaveLength(2);
    await second.stop();
    respond = (response) => response.end();
    await createTimer().check();
    expect(messages).toHaveLength(3);
    expect(await digests()).toEqual([`Main ${TODAY} sent -`]);
  });
});

test('after a restart on the same day the digest is sent if it was not, and only then', async () => {
  await lack('Kestrel');
  await createTimer().check(`${TODAY}T15:00:00.000Z`);
  await createTimer().check(`${TODAY}T16:00:00.000Z`);
  expect(messages).toHaveLength(1);
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
  const lease = await acquireLease(ledger.db, {
    instanceId: INSTANCE,
    runId: randomUUID(),
    host: 'elsewhere',
  });
  await ledger.asProgram(sql`update losant_usage.leases set expires_at = now() + interval '1 day'`);
  await timer.checkFor(59);
  expect(messages).toEqual([]);
  await timer.checkFor(1);
  // The other process has not refreshed, so the table is that of the morning.
  expect(messages).toEqual([]);
  expect(await digests()).toEqual([`Main ${TODAY} nothing_new -`]);
  await releaseLease(ledger.db, lease);
});

test('a run that ends in time is in the digest', async () => {
  const lease = await acquireLease(ledger.db, {
    instanceId: INSTANCE,
    runId: randomUUID(),
    host: 'elsewhere',
  });
  const timer = createTimer();
  await ledger.asProgram(sql`update losant_usage.leases set expires_at = now() + interval '1 day'`);
  await timer.check();
  await lack('Kestrel');
  await releaseLease(ledger.db, lease);
  await timer.checkFor(1);
  expect(messages[0]).toContain('Data missing: Kestrel');
});

test('during the first run of an instance, its digest comes an hour later and says so', async () => {
  const timer = createTimer({ instanceIds: [OTHER] });
  const lease = await acquireLease(ledger.db, { instanceId: OTHER, runId: randomUUID(), host: 'elsewhere' });
  await ledger.asProgram(
    sql`update losant_usage.instances set attention_at = null where instance_id = ${OTHER}`,
    sql`update losant_usage.leases set expires_at = now() + interval '1 day'`,
  );
  await timer.check();
  await timer.checkFor(59);
  expect(messages).toEqual([]);
  await timer.checkFor(1);
  expect(messages).toEqual(['It is still being read for the first time']);
  await releaseLease(ledger.db, lease);
});

test('a time that a change of clocks skips is the next instant that exists', async () => {
  await ledger.setTime('2026-03-29T00:30:00.000Z');
  const timer = createTimer({ at: '02:30 Europe/Berlin' });
  await timer.check('2026-03-29T00:59:59.000Z');
  expect(await digests()).toEqual([]);
  await timer.check('2026-03-29T01:00:00.000Z');
  expect(await digests()).toEqual(['Main 2026-03-29 nothing_new -']);
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

test('a week of digests: what is said each morning, and why nothing else is', async () => {
  const usage: Readonly<Record<string, (day: string) => number | null>> = {
    Calm: () => 10,
    // Not stored on Wednesday; read again on Friday.
    Kestrel: (day) => (day === '2026-11-25' && ledger.nowMs < Date.parse('2026-11-27T00:00Z') ? null : 10),
    // No payloads since Tuesday: silent on Friday.
    Cascade: (day) => (day >= '2026-11-24' ? 0 : 10),
    // 230 before Tuesday, 10 a day, and 40 from Thursday on.
    Ironbark: (day) => (day >= '2026-11-26' ? 40 : 10),
    // Not stored since Tuesday.
    Solent: (day) => (day >= '2026-11-24' ? null : 10),
  };
  for (const name of Object.keys(usage)) {
    if (name !== 'Calm') await addOrg({ name, limits: name === 'Ironbark' ? { payload: 320 } : {} });
  }
  await createTimer({ notify: null }).check();
  await ledger.asProgram(sql`update losant_usage.attention_items set named_on = first_seen_on - 1`);
  const timer = createTimer();
  const mornings: Record<string, string> = {};
  for (const today of eachDay({ from: '2026-11-25', to: '2026-12-02' })) {
    await ledger.setTime(`${today}T08:00:00.000Z`);
    await readDays(usage, { from: '2026-11-24', to: addDays(today, -1) });
    messages.length = 0;
    await timer.check();
    mornings[today] = messages.map((message) => message.replace(/\n2026-1[12] through.*/, '')).join();
  }
  expect(mornings).toEqual({
    '2026-11-25': `Data of 1 organization is missing; 1 thing is new, 1 more goes on
Data missing: Solent (payload_totals since 2026-11-24)`,
    '2026-11-26': `Data of 2 organizations is missing; 1 thing is new, 2 more go on
Data missing: Kestrel (payload_totals since 2026-11-25)`,
    // Kestrel was read. The month has been ready since the 24th.
    '2026-11-27': `Data of 1 organization is missing; 2 things are new, 2 more go on
About to exceed a limit: Ironbark (payload on 2026-11-30)
Silent for three days: Cascade (since 2026-11-24)
Still: Month ready to close: 2026-10`,
    '2026-11-28': `Data of 1 organization is missing; 1 thing is new, 3 more go on
Limit exceeded: Ironbark (payload 103%)
Still: Data missing: Solent (payload_totals since 2026-11-24)`,
    // A Sunday on which nothing is new.
    '2026-11-29': '',
    '2026-11-30': `Data of 1 organization is missing; nothing is new, 4 more go on
Still: Silent for three days: Cascade (since 2026-11-24)`,
    '2026-12-01': `Data of 1 organization is missing; 1 thing is new, 4 more go on
Month blocked: 2026-11 (missing; 1 affected)
Still: Limit exceeded: Ironbark (payload 140%)
Still: Month ready to close: 2026-10`,
    // The limits of December. Ironbark was last at risk on the 27th.
    '2026-12-02': `Data of 1 organization is missing; 1 thing is new, 4 more go on
About to exceed a limit: Ironbark (payload on 2026-12-19)
Still: Data missing: Solent (payload_totals since 2026-11-24)`,
  });
});

/** Reads days of all organizations, as a run would. */
async function readDays(
  usage: Readonly<Record<string, (day: string) => number | null>>,
  days: DayRange,
): Promise<void> {
  await createExpectedCells(ledger.writer());
  const numbers = Object.entries(usage).flatMap(([name, payloads]) =>
    eachDay(days).map((day) => ({ name, day, quantity: payloads(day) })),
  );
  await ledger.asProgram(
    sql`update losant_usage.usage_days d set payload_billable_count = n.quantity, payload_all_count = n.quantity,
        payload_all_bytes = n.quantity
      from json_to_recordset(${JSON.stringify(numbers)}::text::json) as n (name text, day date, quantity bigint)
      join losant_usage.organizations o on o.name = n.name
      where d.org_id = o.org_id and d.usage_date = n.day`,
    sql`update losant_usage.coverage c set standing = 'final', is_stored = true, is_reported = true, revision = 1,
        first_loaded_at = now(), finalized_at = now(), last_read_at = now(), next_read_at = null, reason = null
      from losant_usage.usage_days d where d.payload_billable_count is not null
        and c.org_id = d.org_id and c.usage_date = d.usage_date`,
  );
}

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
  expect(await ledger.list(sql`select * from losant_usage.attention_items order by kind, subject`)).toEqual(
    before,
  );
  const status = await runProgram(['status'], env, io);
  expect(status.stdout).toContain(`needs attention (as of ${TODAY} 09:00 UTC):`);
  expect(status.stdout).toContain('Kestrel (payload_totals since 2026-11-20)');
  expect(status.stdout).toContain(`digest of ${TODAY}: sent`);
});
