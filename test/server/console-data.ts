import { gzipSync } from 'node:zlib';
import { type Ledger, openLedger, RUN_1, RUN_2 } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCells, changeCells } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { INSTANCE } from './pages.ts';

/** What the quarantined body holds: markup, and characters that no page should hand on as they are. */
const HOSTILE_BODY = '{"total":"<script>alert(1)</script>\u202e\u0007"}';
export const HOSTILE_NAME = '<img src=x onerror=alert(1)>';

export interface ConsoleData {
  readonly ledger: Ledger;
  /** Hostile by name, with a final day, a gap, an invalid answer and a waiver. */
  readonly hostile: string;
  /** Tracked and read, with nothing to say of it. */
  readonly calm: string;
}

/** A database with something for each page to show, on days counted back from today. */
export async function openConsoleData(): Promise<ConsoleData> {
  const ledger = await openLedger('postgres');
  const [hostile, calm] = [await ledger.newOrg(), await ledger.newOrg()];
  const body = gzipSync(HOSTILE_BODY + 'x'.repeat(20_000)).toString('hex');
  await queryOnce(
    ledger.url,
    asProgram(`
      update losant_usage.organizations set name = '${HOSTILE_NAME}' where org_id = '${hostile}';
      insert into losant_usage.tracking (org_id, stream, tracked_days)
        select org_id, stream, datemultirange(daterange('${daysAgo(6)}', null))
        from losant_usage.organizations cross join (values ('device_counts'), ('payload_totals')) as s (stream);
      ${addCells(
        `select day, stream, org_id from losant_usage.tracking
         cross join losant_usage.days_between('${daysAgo(6)}', '${daysAgo(2)}') as day`,
        'final',
      )}
      ${addCells(`select date '${daysAgo(1)}', stream, org_id from losant_usage.tracking`, 'stored')}
      ${changeCells(
        `org_id = '${hostile}' and stream = 'device_counts' and usage_date = '${daysAgo(3)}'`,
        'missing',
        { reason: 'invalid_value', message: 'total: not a number' },
      )}
      ${changeCells(
        `org_id = '${hostile}' and stream = 'payload_totals' and usage_date = '${daysAgo(4)}'`,
        'accepted',
        { reason: 'waived', message: 'a test plant' },
      )}
      insert into losant_usage.waivers (org_id, stream, usage_date, reason, waived_by)
        values ('${hostile}', 'payload_totals', '${daysAgo(4)}', 'a test plant', 'anna');
      insert into losant_usage.quarantine (org_id, stream, from_date, to_date, code, problem, times, first_seen_at,
          last_seen_at, body_gzip)
        values ('${hostile}', 'device_counts', '${daysAgo(3)}', '${daysAgo(3)}', 'invalid_value', 'total: not a number',
          2, now(), now(), decode('${body}', 'hex'));
      insert into losant_usage.revisions
        (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final) values
        ('payload_totals', '${hostile}', '2026-10-20', 2, '{}', '{"billable_count": 1000, "all_count": 7}',
          '{"billable_count": 1250, "all_count": 7}', '${RUN_1}', 'writer', '2026-11-01T08:00:00Z', true),
        ('payload_sources', '${hostile}', '2026-10-21', 3, '{"payload_type": "timer", "source": "<b>"}', '{"count": 5}',
          null, null, 'anna', '2026-11-02T08:00:00Z', true),
        ('device_counts', '${calm}', '2026-10-22', 2, '{}', '{"total": 5}', '{"total": 4}', '${RUN_2}', 'writer',
          '2026-11-03T08:00:00Z', false);
      insert into losant_usage.runs (run_id, instance_id, kind, status, streams, started_at, heartbeat_at, finished_at,
          host, version, orgs, cells_planned, cells_loaded, cells_failed, requests, from_date, to_date, failures) values
        ('${RUN_1}', '${INSTANCE}', 'scheduled', 'complete', '{device_counts}', '2026-11-24T09:00:00Z',
          '2026-11-24T09:02:05Z', '2026-11-24T09:02:05Z', 'pod-1', '1.2.3', 2, 1200, 1200, 0, 1500, '2026-11-23',
          '2026-11-23', '[]'),
        ('${RUN_2}', '${INSTANCE}', 'backfill', 'partial', '{device_counts}', '2026-11-24T10:00:00Z',
          '2026-11-24T10:20:00Z', '2026-11-24T10:20:00Z', 'pod-2', '1.2.3', 2, 100, 90, 10, 100, '2026-11-01',
          '2026-11-05', '[{"code": "server_error", "message": "<i>HTTP 500</i>", "stream": "device_counts",
            "cells": 8, "orgs": 2, "example": "${hostile}"},
            {"code": "timeout", "message": "no answer", "stream": null, "cells": 2, "orgs": 1, "example": null}]')`),
  );
  return { ledger, hostile, calm };
}
