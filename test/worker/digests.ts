/** Timers of the digest with a real receiver, and a ledger whose clock the tests set. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { parseNotifyTime } from '../../src/settings/notify-time.ts';
import { DigestTimer } from '../../src/worker/digest.ts';
import { INSTANCE, useFreshLedger } from '../ledger/ledger.ts';
import { addPayloadOrg, type PayloadOrg } from '../ledger/payload-orgs.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { recordLog } from './loop.ts';

/** A Tuesday. */
export const TODAY = '2026-11-24';
export const OTHER = '5c0000000000000000000002';
/** In the address of the receiver. */
export const SECRET = 'canary-webhook-77ab01';

interface TestTimer {
  readonly at?: string;
  readonly notify?: null;
  readonly instanceIds?: readonly string[];
  readonly isLoading?: () => boolean;
  readonly signal?: AbortSignal;
  /** Returns the time by the host's clock, if it is wrong. */
  readonly hostNow?: () => number;
}

/** Before each test it is 09:00, and the table was refreshed for the first time at 08:00. */
export function useDigests() {
  const ledger = useFreshLedger(`${TODAY}T07:30:00.000Z`);
  /** The texts of the messages that arrived, and how the receiver responds to each, counted from 1. */
  const messages: string[] = [];
  const respond = (response: ServerResponse, _number: number): void => void response.end();
  const receiver = { respond };
  let server: TestServer;
  /** What the first refresh noted, which is the same before each test. */
  let firstItems: string | null = null;

  beforeAll(async () => {
    server = await startServer((request, response) => {
      const receive = (body: string) => {
        messages.push((JSON.parse(body) as { text: string }).text);
        receiver.respond(response, messages.length);
      };
      readText(request.stream).then(receive, () => response.destroy());
    });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const addOrg = (org: PayloadOrg) => addPayloadOrg(ledger, TODAY, org);

  function createTimer({
    at = '08:00',
    instanceIds = [INSTANCE],
    isLoading = () => false,
    signal = new AbortController().signal,
    hostNow = () => ledger.nowMs,
    ...options
  }: TestTimer = {}) {
    const { logged, logger } = recordLog();
    const timer = new DigestTimer({
      config: {
        instances: instanceIds.map((instanceId) => ({ instanceId })) as never,
        notify: options.notify === null ? null : { url: `${server.url}/${SECRET}`, format: 'json' },
        notifyAt: parseNotifyTime(at) ?? { time: '', timeZone: '' },
        consoleUrl: null,
      },
      handle: ledger.handle,
      logger,
      signal,
      hostNow,
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
      checkFor: async (minutes: number) => {
        for (let minute = 0; minute < minutes; minute += 1) {
          await ledger.setTime(new Date(ledger.nowMs + 60_000).toISOString());
          await timer.check();
        }
      },
    };
  }

  beforeEach(async () => {
    messages.length = 0;
    receiver.respond = respond;
    await ledger.asProgram(
      sql`delete from losant_usage.leases`,
      sql`insert into losant_usage.instances (instance_id, name, api_url)
        values (${OTHER}, 'East', 'https://api.example.com') on conflict do nothing`,
      sql`update losant_usage.instances set name = 'Main' where instance_id = ${INSTANCE}`,
    );
    await addOrg({ name: 'Calm' });
    if (firstItems === null) {
      await createTimer({ notify: null }).check(`${TODAY}T08:00:00.000Z`);
      [firstItems = '[]'] = await ledger.list(sql`
        select coalesce(json_agg(a), '[]')::text from losant_usage.attention_items a`);
    } else {
      await ledger.setTime(`${TODAY}T08:00:00.000Z`);
      await ledger.asProgram(
        sql`insert into losant_usage.attention_items
          select * from json_populate_recordset(null::losant_usage.attention_items, ${firstItems}::text::json)`,
        sql`update losant_usage.instances set attention_at = now() where instance_id = ${INSTANCE}`,
      );
    }
    await ledger.setTime(`${TODAY}T09:00:00.000Z`);
  });

  return { ledger, messages, receiver, createTimer, addOrg };
}
