import { expect, test } from 'vitest';
import type { CellStory, LedgerRow } from '../../src/queries/explain.ts';
import { adviseCell, type CellPlace, showAdvice } from '../../src/queries/story.ts';

const orgId = '5d0000000000000000000001';
const backfill = `losant-usage backfill --from 2026-11-20 --to 2026-11-20 --org ${orgId} --stream device_counts`;
const waive = `losant-usage waive --org ${orgId} --day 2026-11-20 --stream device_counts --reason TEXT`;

const row: LedgerRow = {
  standing: 'stored',
  isStored: true,
  isReported: true,
  revision: 1,
  verifiedAt: '2026-11-21T00:15:00.000Z',
  attemptedAt: '2026-11-21T00:15:00.000Z',
  attempts: 0,
  nextReadAt: null,
  reason: null,
  message: null,
  responseSha256: null,
  firstLoadedAt: null,
  finalizedAt: null,
  runId: null,
  runKind: null,
  runHost: null,
  runVersion: null,
};
const NOW = Date.UTC(2026, 10, 24, 0, 15);
const inBackoff = { attempts: 1, nextReadAt: '2026-11-24T02:15:00.000Z', reason: 'server_error' };
const missing = { ...inBackoff, standing: 'missing', isStored: false } as const;
const unavailable = { standing: 'unavailable', isStored: false, reason: 'past_horizon' } as const;

test.each<[string, Partial<LedgerRow> | null, Partial<CellStory>, Partial<CellPlace>, string]>([
  ['is stored', {}, {}, {}, 'nothing to do'],
  [
    'is stored and has checkpoints to come',
    { nextReadAt: '2026-11-25T00:00:00.000Z' },
    {},
    {},
    'nothing to do; it is read again 2026-11-25 00:00 UTC (in 23 h 45 min)',
  ],
  [
    'is stored, and whose newest read failed',
    inBackoff,
    {},
    {},
    `the number is stored, but its newest read failed: tried again 02:15 UTC (in 2 h); at once: ${backfill}`,
  ],
  [
    'is accepted',
    { standing: 'accepted', reason: 'waived' },
    { standing: 'accepted' },
    {},
    'nothing to do; a good read lifts the waiver',
  ],
  [
    'is no longer available',
    unavailable,
    { standing: 'unavailable' },
    {},
    `nothing can be read any more; to accept it: ${waive}`,
  ],
  ['is unavailable and not tracked', unavailable, { standing: null }, {}, 'nothing can be read any more'],
  [
    'failed',
    missing,
    { standing: 'missing' },
    {},
    `tried again 02:15 UTC (in 2 h); at once: ${backfill}; if it will not come: ${waive}`,
  ],
  [
    'was never read',
    null,
    { standing: 'missing' },
    {},
    `read by the next run; at once: ${backfill}; if it will not come: ${waive}`,
  ],
  [
    'was left out since',
    { standing: 'in_doubt', reason: 'left_out' },
    { standing: 'in_doubt' },
    {},
    `read by the next run; at once: ${backfill}; to accept it as it stands: ${waive}; to store zeros in its place: ${waive} --as-zero`,
  ],
  [
    'was changed by hand',
    { standing: 'in_doubt', reason: 'changed_by_hand' },
    { standing: 'in_doubt' },
    {},
    `read by the next run; at once: ${backfill}; to accept it as it stands: ${waive}`,
  ],
  ['was never read and is young', null, { standing: 'waiting' }, {}, 'read by the next run'],
  ['is not tracked', null, { standing: null }, {}, `the number is not tracked; to read it: ${backfill}`],
  [
    'is not tracked and older than Losant keeps the detail',
    null,
    { standing: null },
    { isPastHorizon: true },
    `the number is not tracked; to read it: ${backfill} --past-horizon`,
  ],
  [
    'is missing and older than Losant keeps the detail',
    { ...missing, nextReadAt: null },
    { standing: 'missing' },
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
    missing,
    { standing: 'missing' },
    { isRemoved: true },
    'the organization was deleted in Losant: the next run marks what is missing unavailable',
  ],
])('a number that %s', (_, ledger, story, ...[about, expected]) => {
  const cell: CellStory = {
    stream: 'device_counts',
    standing: 'stored',
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
