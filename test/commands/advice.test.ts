import { expect, test } from 'vitest';
import { adviseCell } from '../../src/commands/explain/advice.ts';
import type { CellStory, LedgerRow } from '../../src/database/read/explain.ts';

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
  nextAttemptAt: null,
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
const inBackoff = { attempts: 1, nextAttemptAt: '2026-11-24T02:15:00.000Z', errorCode: 'server_error' };

test.each<
  [string, Partial<LedgerRow> | null, Partial<CellStory>, { isOver?: boolean; isRemoved?: boolean }, string]
>([
  ['is held', {}, {}, {}, 'nothing to do'],
  [
    'is held, and whose newest read failed',
    inBackoff,
    {},
    {},
    `the number is held, but its newest read failed: the next run tries again; at once: ${backfill}`,
  ],
  [
    'is waived',
    { state: 'waived', errorCode: 'waived' },
    {},
    {},
    'nothing to do; a good read lifts the waiver',
  ],
  [
    'can no longer be had',
    { state: 'unavailable', errorCode: 'past_horizon' },
    {},
    {},
    `nothing can be read any more; to accept it: ${waive}`,
  ],
  [
    'failed',
    { ...inBackoff, state: 'failed' },
    { isGap: true },
    {},
    `tried again after 2026-11-24T02:15:00.000Z; at once: ${backfill}; if it will not come: ${waive}`,
  ],
  [
    'was never asked for',
    null,
    { isGap: true },
    {},
    `read by the next run; at once: ${backfill}; if it will not come: ${waive}`,
  ],
  ['was never asked for and is young', null, {}, {}, 'read by the next run'],
  ['is not promised', null, { isTracked: false }, {}, `the number is not promised; to read it: ${backfill}`],
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
    quarantine: [],
    ...story,
  };
  const advice = adviseCell(cell, { orgId, day: '2026-11-20', isOver: true, isRemoved: false, ...about });
  expect(advice).toBe(expected);
});
