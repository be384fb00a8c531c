import { expect, test } from 'vitest';
import type { CellStory, LedgerRow } from '../../src/queries/explain.ts';
import { adviseCell, type CellPlace, showAdvice } from '../../src/queries/story.ts';

const orgId = '5d0000000000000000000001';
const backfill = `losant-usage backfill --from 2026-11-20 --to 2026-11-20 --org ${orgId} --stream device_counts`;
const waive = `losant-usage waive --org ${orgId} --day 2026-11-20 --stream device_counts --reason TEXT`;

const row: LedgerRow = {
  state: 'loaded',
  reported: true,
  revision: 1,
  verifiedAt: '2026-11-21T00:15:00.000Z',
  attemptedAt: '2026-11-21T00:15:00.000Z',
  attempts: 0,
  nextReadAt: null,
  errorCode: null,
  errorMessage: null,
  responseSha256: null,
  firstLoadedAt: null,
  finalizedAt: null,
  runId: null,
  runKind: null,
  runHost: null,
  runVersion: null,
};
const NOW = Date.UTC(2026, 10, 24, 0, 15);
const inBackoff = { attempts: 1, nextReadAt: '2026-11-24T02:15:00.000Z', errorCode: 'server_error' };

test.each<[string, Partial<LedgerRow> | null, Partial<CellStory>, Partial<CellPlace>, string]>([
  ['is held', {}, {}, {}, 'nothing to do'],
  [
    'is held and has checkpoints to come',
    { nextReadAt: '2026-11-25T00:00:00.000Z' },
    {},
    {},
    'nothing to do; it is read again 2026-11-25 00:00 UTC (in 23 h 45 min)',
  ],
  [
    'is held, and whose newest read failed',
    inBackoff,
    {},
    {},
    `the number is held, but its newest read failed: tried again 02:15 UTC (in 2 h); at once: ${backfill}`,
  ],
  [
    'is waived',
    { state: 'waived', errorCode: 'waived' },
    {},
    {},
    'nothing to do; a good read lifts the waiver',
  ],
  [
    'is no longer available',
    { state: 'unavailable', errorCode: 'past_horizon' },
    {},
    {},
    `nothing can be read any more; to accept it: ${waive}`,
  ],
  [
    'is unavailable and not tracked',
    { state: 'unavailable', errorCode: 'past_horizon' },
    { isTracked: false },
    {},
    'nothing can be read any more',
  ],
  [
    'failed',
    { ...inBackoff, state: 'failed' },
    { isGap: true },
    {},
    `tried again 02:15 UTC (in 2 h); at once: ${backfill}; if it will not come: ${waive}`,
  ],
  [
    'was never read',
    null,
    { isGap: true },
    {},
    `read by the next run; at once: ${backfill}; if it will not come: ${waive}`,
  ],
  ['was never read and is young', null, {}, {}, 'read by the next run'],
  ['is not tracked', null, { isTracked: false }, {}, `the number is not tracked; to read it: ${backfill}`],
  [
    'is not tracked and older than Losant keeps the detail',
    null,
    { isTracked: false },
    { isPastHorizon: true },
    `the number is not tracked; to read it: ${backfill} --past-horizon`,
  ],
  [
    'is missing and older than Losant keeps the detail',
    { state: 'failed', attempts: 1 },
    { isGap: true },
    { isPastHorizon: true },
    `read by the next run; at once: ${backfill} --past-horizon; if it will not come: ${waive}`,
  ],
  [
    'is of a day that is not over',
    null,
    {},
    { isOver: false },
    'the day is not over in UTC: it is read afterwards',
  ],
  [
    'is missing of a deleted organization',
    { ...inBackoff, state: 'failed' },
    { isGap: true },
    { isRemoved: true },
    'the organization was deleted in Losant: the next run marks what is missing unavailable',
  ],
])('a number that %s', (_, ledger, story, ...[about, expected]) => {
  const cell: CellStory = {
    stream: 'device_counts',
    isTracked: true,
    isGap: false,
    ledger: ledger && { ...row, ...ledger },
    values: [],
    revisions: [],
    waivers: [],
    quarantine: [],
    ...story,
  };
  const place = {
    orgId,
    day: '2026-11-20',
    isOver: true,
    isRemoved: false,
    isPastHorizon: false,
    nowMs: NOW,
  };
  const advice = adviseCell(cell, { ...place, ...about });
  expect(showAdvice(advice)).toBe(expected);
});
