/** A small database with something to show on each page and dashboard, at a fixed time. No test changes it. */
import { Hono } from 'hono';
import { addPages } from '../../src/console/pages.ts';
import type { PageSources } from '../../src/console/sources.ts';
import { createLogger } from '../../src/logger.ts';
import { readHealth } from '../../src/queries/health.ts';
import { defaultStreamNames } from '../../src/usage/streams/catalog.ts';
import { useDisposable } from '../opened.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { asOwner, openAs, queryOnce } from '../support/databases.ts';

const INSTANCE = '5c0000000000000000000001';
export const NOW = Date.parse('2026-11-28T12:00:00Z');
const RUN = '00000000-0000-4000-8000-000000000001';

const idOf = (number: number) => `0a${`${number}`.padStart(22, '0')}`;

export const ORGS = {
  /** Has 1,000 payloads on weekdays and 100 on weekends, and will exceed its limit. Belongs to a customer. */
  office: idOf(1),
  /** Has twice as many payloads since the 6th, and the customer of the office. */
  doubled: idOf(2),
  /** Has zero payloads since the 25th. */
  silent: idOf(3),
  /** Created on the 23rd. */
  newcomer: idOf(4),
  /** Was deleted on the 25th. */
  deleted: idOf(5),
  /** Has a missing cell on 10 October and one yesterday, and one in doubt on the 20th. */
  gappy: idOf(6),
  /** Has payloads by hour, but neither plan nor limits. */
  hourly: idOf(7),
  /** Has a hostile name, and exceeds a limit of 0. */
  hostile: idOf(8),
} as const;

export const HOSTILE_NAME = '<img src=x onerror=alert(1)>\u202e\u0007';
export const CUSTOMER = 'acme & sons';

/** Name, referral ID, customer, plan, limits, creation and deletion day of each organization. */
const ROWS: Readonly<Record<keyof typeof ORGS, string>> = {
  office: `'Office', 'C-1', '${CUSTOMER}', 'gold', '{"payload": 21500, "device": 20}', '2025-01-01', null`,
  doubled: `'Doubled', 'C-2', '${CUSTOMER}', 'gold', '{"payload": 1000000}', '2025-01-01', null`,
  silent: `'Silent', 'C-3', null, 'gold', '{"payload": 1000000}', '2025-01-01', null`,
  newcomer: `'Newcomer', null, null, 'gold', '{"payload": 1000000}', '2026-11-23', null`,
  deleted: `'Deleted', null, null, 'gold', '{"payload": 1000000}', '2025-01-01', '2026-11-25'`,
  gappy: `'Gappy', null, null, 'gold', '{"payload": 1000000}', '2025-01-01', null`,
  hourly: `'Hourly', null, null, null, '{}', '2025-01-01', null`,
  hostile: `U&'<img src=x onerror=alert(1)>\\202e\\0007', null, null, 'gold', '{"device": 0}', '2025-01-01', null`,
};

const MISSING = `stream = 'payload_totals' and org_id = '${ORGS.gappy}' and usage_date in ('2026-10-10', '2026-11-27')`;
const WAIVED = `stream = 'payload_totals' and org_id = '${ORGS.hostile}' and usage_date = '2026-11-10'`;
const IN_DOUBT = `stream = 'device_counts' and org_id = '${ORGS.gappy}' and usage_date = '2026-11-20'`;

const NOT_STORED = `is_stored = false, is_reported = false, revision = 0, first_loaded_at = null, last_read_at = null,
  finalized_at = null`;

const PAYLOADS = `case d.org_id
  when '${ORGS.office}' then case when extract(isodow from d.usage_date) < 6 then 1000 else 100 end
  when '${ORGS.doubled}' then case when d.usage_date >= '2026-11-06' then 1000 else 500 end
  when '${ORGS.silent}' then case when d.usage_date >= '2026-11-25' then 0 else 300 end
  when '${ORGS.newcomer}' then 50 when '${ORGS.deleted}' then 700 when '${ORGS.gappy}' then 400 else 240 end::bigint`;

const FILL_LEDGER = `
insert into losant_usage.instance (instance_id, name, api_url, policy, new_orgs_from, listed_at)
values ('${INSTANCE}', 'Main', 'https://api.example.com', '{"finalAfterHours": 72, "horizonDays": 90}', '2026-08-01',
  now());
${Object.entries(ROWS)
  .map(
    ([name, row], index) => `insert into losant_usage.organizations (org_id, tags, first_seen_at,
  last_seen_at, name, referral_id, customer_id, plan_id, limits, created_on, deleted_on)
values ('${idOf(index + 1)}', '${name === 'office' ? '[{"key": "region", "value": "eu"}]' : '[]'}', '2026-08-01',
  now(), ${row});`,
  )
  .join('\n')}
insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
select o.org_id, s.stream, greatest(date '2026-08-01', o.created_on), coalesce(o.deleted_on, date '2026-11-28'),
  o.deleted_on - 1
from losant_usage.organizations o cross join losant_usage.streams s
where s.stream = any ('{${defaultStreamNames.join()}}')
  or (s.stream = 'payload_hours' and o.org_id = '${ORGS.hourly}');
insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision,
  first_loaded_at, last_read_at, finalized_at)
select d.day, t.org_id, t.stream, case when d.is_final then 'final' else 'stored' end::losant_usage.standing, true,
  true, 1, d.day_end, d.day_end, case when d.is_final then d.day_end end
from losant_usage.tracks t
cross join lateral (
  select day::date, day < '2026-11-25' as is_final, (day + interval '1 day') at time zone 'UTC' as day_end
  from generate_series(t.first_day::timestamp, t.next_day - 1, interval '1 day') as day
) as d;
update losant_usage.coverage set standing = 'missing', reason = 'server_error', detail = 'HTTP 500', ${NOT_STORED},
  failed_reads = 2, last_attempt_at = '2026-11-28T11:00Z' where ${MISSING};
update losant_usage.coverage set standing = 'waived', reason = 'waived', detail = 'a test', ${NOT_STORED}
where ${WAIVED};
update losant_usage.coverage set standing = 'in_doubt', reason = 'omitted', finalized_at = null where ${IN_DOUBT};
update losant_usage.coverage set next_read_at = '2026-11-28T13:00Z' where standing not in ('final', 'waived');

insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total,
  notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout, payload_billable_count,
  payload_all_count, payload_all_bytes, payload_source_count, payload_sources, hours_billable_count, hours_all_count,
  hours_all_bytes)
select d.usage_date, d.org_id, 1, 0, 10, 5, 1, 0, 0, 0, q.payloads, q.payloads, q.payloads * 100, q.payloads,
  jsonb_build_object('mqtt', jsonb_build_object('device', q.payloads - q.payloads / 4), 'timer',
    jsonb_build_object('timer.flow', q.payloads / 4)), h.counts, h.counts, h.bytes
from (select distinct org_id, usage_date from losant_usage.coverage) as d
cross join lateral (select ${PAYLOADS} as payloads) as q
left join lateral (
  select array_agg(case when hour between 8 and 17 then 24 else 0 end::bigint order by hour) as counts,
    array_agg(case when hour between 8 and 17 then 2400 else 0 end::bigint order by hour) as bytes
  from generate_series(0, 23) as hour
) as h on d.org_id = '${ORGS.hourly}';
update losant_usage.usage_days u set payload_billable_count = null, payload_all_count = null, payload_all_bytes = null
from losant_usage.coverage c
where c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = 'payload_totals' and not c.is_stored;
update losant_usage.coverage set failed_reads = failed_reads;
`;

const FILL_RECORDS = `
insert into losant_usage.waivers (org_id, stream, usage_date, reason, waived_by) values ('${ORGS.hostile}',
  'payload_totals', '2026-11-10', 'a test', 'anna');
insert into losant_usage.quarantine (org_id, stream, first_day, last_day, reason, detail, body_sha256,
  body_truncated, run_id, seen_at)
values ('${ORGS.gappy}', 'payload_totals', '2026-11-27', '2026-11-27', 'invalid_value', 'total: not a number',
  decode(repeat('00', 32), 'hex'), false, '${RUN}', '2026-11-28T11:00Z');
insert into losant_usage.runs (run_id, kind, is_full, status, first_day, last_day, counts, failures,
  started_at, finished_at, host, version) values
  ('${RUN}', 'scheduled', true, 'partial', '2026-11-21', '2026-11-27',
    '{"orgs": 8, "cells": {"planned": 40, "loaded": 38, "failed": 2},
      "rows": {"updated": 1}, "requests": 44}',
    '[{"code": "server_error", "message": "<i>HTTP 500</i>", "stream": "payload_totals", "cells": 2, "orgs": 1,
      "example": "${ORGS.gappy}"}]',
    '2026-11-28T00:15Z', '2026-11-28T00:17:05Z', 'pod-1', '1.2.3');

-- Losant's totals are our sums, but for one device more on the 10th.
insert into losant_usage.instance_totals (usage_date, metric, losant_total, last_read_at)
select s.usage_date, m.metric, (to_jsonb(s) ->> m.metric)::bigint
    + case when m.metric = 'devices_total' and s.usage_date = '2026-11-10' then 1 else 0 end,
  (s.usage_date + 4)::timestamp at time zone 'UTC'
from losant_usage_internal.day_sums s cross join losant_usage.metrics m where s.usage_date < '2026-11-25';

-- September is closed, and 500 payloads of the office were loaded later.
insert into losant_usage.statements (statement_id, month, number, kind, reason, blockers, created_at, created_by)
values ('${RUN}', '2026-09-01', 1, 'closing', 'agreed', '[{"cause": "missing"}]', '2026-10-05T08:00Z', 'clerk');
insert into losant_usage.statement_lines
select '${RUN}', l.month, l.org_id, l.org_name, l.referral_id, l.plan_id, l.customer_id, l.metric, l.unit, l.kind,
  l.quantity - case when l.org_id = '${ORGS.office}' and l.metric = 'payload_billable_count' then 500 else 0 end,
  l.maximum, l.average, l.days_expected, l.days_stored, l.days_final, l.days_waived, l.days_unreported
from losant_usage_internal.month_lines l where l.month = '2026-09-01';
insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id, changed_at)
values ('${ORGS.office}', 'payload_totals', '2026-09-15', 2, '{"payload_billable_count": 500}',
  '{"payload_billable_count": 1000}', true, '${RUN}', '2026-11-28T00:16Z');
update losant_usage.coverage set revision = 2
where org_id = '${ORGS.office}' and stream = 'payload_totals' and usage_date = '2026-09-15';
`;

export type World = Awaited<ReturnType<typeof openWorld>>;

/** The world of this process, to copy: filling one takes as long as twenty copies. */
let filled: Promise<ClockDatabase> | undefined;

async function fill(): Promise<ClockDatabase> {
  const database = await createClockDatabase();
  await database.stopClock(NOW);
  // As the owner, because no other role may insert what somebody else did, or when.
  await asOwner(database.url, FILL_LEDGER);
  await asOwner(database.url, FILL_RECORDS);
  await asOwner(database.url, 'analyze');
  return database;
}

/** Opens a copy of the world, after a script has changed it. */
export async function openWorld(change?: string) {
  filled ??= fill();
  const database = await createClockDatabase(await filled);
  if (change !== undefined) await asOwner(database.url, `${change}; analyze`);
  const logger = createLogger({ level: 'silent', pretty: false, destination: process.stderr });
  // The reader has all rights that the pages need.
  const handle = await openAs('reader', database.url, { logger, poolSize: 4 });
  const health = await readHealth(handle.db);
  const sources: PageSources = {
    status: () => ({
      version: '1.2.3',
      host: 'pod-1',
      startedAt: '2026-11-28T00:00:00.000Z',
      schedule: '15 * * * *',
      nextWakeAt: '2026-11-28T12:15:00.000Z',
      state: 'idle',
      progress: null,
      lastRun: null,
      problem: null,
    }),
    database: () => Promise.resolve({ isUp: true, snapshot: { value: health, atMs: NOW } }),
    read: (query) => query(handle.db),
    readInTurn: (query) => query(handle.db),
    logger,
    now: () => NOW,
  };
  /** Serves the pages, with other sources than usual. */
  const serve = (changes: Partial<PageSources> = {}) => {
    const app = new Hono();
    addPages(app, { ...sources, ...changes });
    const get = async (path: string) => await app.request(path);
    const open = async (path: string) => {
      // A page without counts says so, and is requested again.
      for (;;) {
        const response = await get(path);
        const page = await response.clone().text();
        if (!page.includes('Counting…')) return response;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const html = async (path: string) => await (await open(path)).text();
    return {
      /** Returns a page as it is at once, and when everything on it is counted. */
      get,
      open,
      /** Returns the HTML of a page, and its visible text, with single spaces. */
      html,
      text: async (path: string) => textOf(await html(path)),
    };
  };
  return {
    ...serve(),
    serve,
    health,
    /** Runs a query as the reader. */
    ask: async (query: string) => await queryOnce(database.url, query),
    url: database.url,
    handle,
    sources,
    [Symbol.asyncDispose]: async () => {
      await handle.close();
      await database.drop();
    },
  };
}

export function useWorld(change?: string): World {
  return useDisposable(() => openWorld(change));
}

/** Returns the text of the main part of a page, without titles and markup. */
export function textOf(page: string): string {
  const main = page.slice(page.indexOf('<main'), page.indexOf('</main>'));
  return main
    .replaceAll(/<title>[^<]*<\/title>/g, '')
    .replaceAll(
      /<(?:a|span|strong|time|code|button|svg|rect|path)\b[^>]*>|<\/(?:a|span|strong|time|code|button|svg|rect|path)>/g,
      '',
    )
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ');
}
