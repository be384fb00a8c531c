/** The digest of a worker with a real receiver, and a ledger whose clock the tests set. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { acquireLease } from '../../src/ledger/lease.ts';
import { parseNotifyTime } from '../../src/settings/notify-time.ts';
import { DigestTimer } from '../../src/worker/digest.ts';
import { useFreshLedger } from '../ledger/ledger.ts';
import { addPayloadOrg } from '../ledger/payload-orgs.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { asOwner } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { fakeTimers } from '../support/wait.ts';
import { recordLog } from './loop.ts';

const TODAY = '2026-11-24';
const NINE = `${TODAY}T09:00:00.000Z`;
/** In the address of the receiver. */
const SECRET = 'canary-webhook-77ab01';

const ledger = useFreshLedger(NINE);
const messages: string[] = [];
/** How the receiver responds to a message, counted from 1. */
let respond: (response: ServerResponse, number: number) => void;
let server: TestServer;

beforeAll(async () => {
  server = await startServer((request, response) => {
    const receive = (body: string) => {
      messages.push((JSON.parse(body) as { text: string }).text);
      respond(response, messages.length);
    };
    readText(request.stream).then(receive, () => response.destroy());
  });
});
afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  messages.length = 0;
  await ledger.write(sql`delete from losant_usage.lease`);
  respond = (response) => response.end();
});

/** Of a month that is not over. */
const ORG = { name: 'Kestrel', createdOn: '2026-11-01' };
/** Adds an organization that lacks a day. */
const addLack = () => addPayloadOrg(ledger, TODAY, { ...ORG, payloads: (day) => (day === '2026-11-20' ? null : 10) });

interface TestTimer {
  readonly at?: string;
  readonly loop?: { isWorking: boolean; runId?: string };
  readonly signal?: AbortSignal;
  /** Returns the time by the host's clock, if it is wrong. */
  readonly hostNow?: () => number;
}

function createTimer(options: TestTimer = {}) {
  const { at = '08:00', loop = { isWorking: false }, hostNow = () => ledger.nowMs } = options;
  const { logged, logger } = recordLog();
  const progress = () => (loop.runId === undefined ? null : ({ runId: loop.runId } as never));
  const timer = new DigestTimer({
    config: {
      notify: { url: `${server.url}/${SECRET}`, format: 'json' },
      notifyAt: parseNotifyTime(at) ?? { time: '', timeZone: '' },
      consoleUrl: null,
    },
    handle: ledger.handle,
    logger,
    signal: options.signal ?? new AbortController().signal,
    hostNow,
    newId: randomUUID,
    host: 'host',
    loop: {
      get isWorking() {
        return loop.isWorking;
      },
      get status() {
        return { progress: progress() };
      },
    },
  });
  return {
    logged,
    messages: () => logged.map(({ msg }) => msg),
    /** Sets all clocks, by default not at all, and lets the timer look. */
    check: async (instant?: string) => {
      if (instant !== undefined) await ledger.setTime(instant);
      await timer.check();
    },
    checkIn: async (minutes: number) => {
      await ledger.setTime(new Date(ledger.nowMs + minutes * 60_000).toISOString());
      await timer.check();
    },
  };
}

const readDigestDay = async () => (await ledger.list(sql`select digest_on from losant_usage.instance`))[0];

test('a digest is sent at its time, once a day, also after a restart', async () => {
  const timer = createTimer({ at: '10:30 Europe/Berlin' });
  await addLack();
  await timer.check(`${TODAY}T09:29:59.000Z`);
  expect(messages).toEqual([]);
  await timer.check(`${TODAY}T09:30:00.000Z`);
  await timer.checkIn(1);
  await createTimer().check(`${TODAY}T16:00:00.000Z`);
  expect(messages).toEqual([
    expect.stringMatching(
      /2026-11-24: 1 thing needs attention\nData missing: Kestrel: 1 cell missing \(payload_totals\), oldest missing day 2026-11-20$/,
    ),
  ]);
  expect(await readDigestDay()).toBe(TODAY);
  // After a missed night.
  await createTimer().check('2026-11-26T23:00:00.000Z');
  expect(messages).toHaveLength(2);
  expect(await readDigestDay()).toBe('2026-11-26');
});

test('a day on which nothing needs attention has no message', async () => {
  await addPayloadOrg(ledger, TODAY, ORG);
  const timer = createTimer();
  await timer.check();
  await addLack();
  await timer.checkIn(60);
  expect(messages).toEqual([]);
  expect(timer.messages()).toEqual(['nothing needs attention, so no digest is sent']);
  expect(await readDigestDay()).toBe(TODAY);
});

test('a receiver that fails or rejects the message is tried five times within an hour, then the day is over', async () => {
  await addLack();
  const statuses = [404, 429, 500];
  respond = (response, number) => response.writeHead(statuses[number - 1] ?? 503).end();
  const timer = createTimer();
  await timer.check();
  await timer.checkIn(1);
  expect(messages).toHaveLength(1);
  for (let attempt = 2; attempt <= 7; attempt += 1) await timer.checkIn(10);
  expect(messages).toHaveLength(5);
  expect(timer.messages()).toEqual([
    ...Array.from({ length: 4 }, () => 'digest not delivered; trying again in 10 minutes'),
    'digest not delivered',
  ]);
  expect(timer.logged.map(({ reason }) => reason)).toEqual([
    'HTTP 404',
    'HTTP 429',
    'HTTP 500',
    'HTTP 503',
    'HTTP 503',
  ]);
  expect(await readDigestDay()).toBe(TODAY);
});

test('a receiver that closes the connection or does not respond is tried again', async () => {
  await addLack();
  fakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  respond = (response, number) => {
    if (number === 1) response.destroy();
    else if (number === 2) vi.advanceTimersByTime(10_000);
    else response.end();
  };
  const timer = createTimer();
  await timer.check();
  await timer.checkIn(10);
  await timer.checkIn(10);
  expect(timer.logged.map(({ msg, reason }) => reason ?? msg)).toEqual(['no connection', 'timeout', 'digest sent']);
  expect(JSON.stringify(timer.logged)).not.toContain(SECRET);
});

test('a message that the end of the worker interrupts is sent by the next one', async () => {
  await addLack();
  const stop = new AbortController();
  respond = (response, number) => {
    if (number === 1) stop.abort();
    else response.end();
  };
  await createTimer({ signal: stop.signal }).check();
  expect(await readDigestDay()).toBe('-');
  await createTimer().checkIn(1);
  expect(messages).toHaveLength(2);
  expect(await readDigestDay()).toBe(TODAY);
});

test('a receiver gets no second message because the first could not be recorded', async () => {
  await addLack();
  await asOwner(ledger.url, 'alter table losant_usage.instance add constraint blocked check (digest_on is null)');
  const loop = { isWorking: false };
  const timer = createTimer({ loop });
  await timer.check();
  loop.isWorking = true;
  await timer.checkIn(10);
  await asOwner(ledger.url, 'alter table losant_usage.instance drop constraint blocked');
  await timer.checkIn(10);
  expect(messages).toHaveLength(1);
  expect(timer.messages()).toEqual(['digest sent', 'could not handle the digest; trying again']);
  expect(await readDigestDay()).toBe(TODAY);
});

test('of several workers one sends it, and none while another process runs', async () => {
  await addLack();
  const [first, second] = [createTimer(), createTimer()];
  await acquireLease(ledger.db, { runId: randomUUID(), host: 'elsewhere' });
  await first.check();
  expect(messages).toEqual([]);
  expect(first.logged).toEqual([]);
  await ledger.write(sql`delete from losant_usage.lease`);
  await Promise.all([first.check(), second.check()]);
  await first.checkIn(1);
  await second.checkIn(1);
  expect(messages).toHaveLength(1);
});

test('a digest waits for the run of its process, and after an hour is sent under the lease of that run', async () => {
  await addLack();
  const loop: { isWorking: boolean; runId?: string } = { isWorking: true };
  const timer = createTimer({ loop });
  await timer.check();
  await timer.checkIn(59);
  expect(messages).toEqual([]);
  loop.runId = randomUUID();
  await acquireLease(ledger.db, { runId: loop.runId, host: 'host' });
  await timer.checkIn(1);
  expect(messages).toHaveLength(1);
  // The run goes on.
  expect(await ledger.list(sql`select run_id from losant_usage.lease`)).toEqual([loop.runId]);
});

test('a clock of the host that is ahead neither names a wrong day nor keeps later digests back', async () => {
  await addLack();
  let aheadMs = 10 * 24 * 3_600_000;
  const timer = createTimer({ hostNow: () => ledger.nowMs + aheadMs });
  await timer.check();
  expect(messages).toEqual([expect.stringContaining(`${TODAY}:`)]);
  aheadMs = 0;
  await timer.check('2026-11-25T09:00:00.000Z');
  expect(messages).toHaveLength(2);
});

test('the command digest prints the same and changes nothing', async () => {
  await addLack();
  const env = { DATABASE_URL: ledger.url };
  const { stdout, code } = await runProgram(['digest'], env);
  expect(code).toBe(0);
  expect(await readDigestDay()).toBe('-');
  await createTimer().check();
  expect(stdout).toBe(`${messages[0]}\n`);
  const document = jsonOf<object>(await runProgram(['digest', '--json'], env));
  expect(document).toMatchObject({ day: TODAY, isEmpty: false, groups: [{ kind: 'missing', total: 1 }] });
});
