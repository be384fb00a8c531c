/** Which streams a run is about. */
import { expect, test } from 'vitest';
import { scopeOf } from '../../src/export/context.ts';
import type { Ask } from '../../src/usage/plan.ts';

const INSTANCE = { instanceId: '5c0000000000000000000001', streams: ['device_counts', 'payload_totals'] };
const ask: Ask = {
  range: { from: '2026-11-01', to: '2026-11-20' },
  reason: 'backfill',
  force: false,
  pastHorizon: false,
};
const all = { orgIds: null, shard: null, streams: null };

test.each([
  ['what is due is due of all that are tracked, also of a stream that was taken out', {}, null],
  ['what is due of chosen streams is due of these', { streams: ['device_counts'] }, ['device_counts']],
  ['so is what is due of all the configured streams, by name', INSTANCE, INSTANCE.streams],
  ['what is asked for is of the configured streams', { ask }, ['device_counts', 'payload_totals']],
  ['what is asked for of chosen streams is of these', { ask, streams: ['device_counts'] }, ['device_counts']],
])('%s', (_, options, streams) => {
  expect(scopeOf(INSTANCE, { ask: undefined, ...all, ...options }).streams).toEqual(streams);
});
