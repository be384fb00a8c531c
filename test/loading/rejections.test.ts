/** When a run no longer requests a stream or an organization, because Losant rejects it or does not respond. */
import { expect, test } from 'vitest';
import { LosantError } from '../../src/errors.ts';
import { Rejections } from '../../src/loading/rejections.ts';

const DAY = '2026-11-23';
type Outcome = 'ok' | 'forbidden' | 'unauthorized' | 'timeout' | 'rate_limited';

function toError(outcome: Outcome): LosantError | null {
  const details = { hint: '', action: '', status: null, body: null };
  return outcome === 'ok' ? null : new LosantError(outcome, outcome, details);
}

const toSlice = (orgId: string) => ({ orgId, stream: 'device_counts', range: { from: DAY, to: DAY }, days: [DAY] });

/** Returns the rejections of a run after so many organizations have responded to a stream like this, one by one. */
function record(outcomes: readonly Outcome[], orgCount: number, toOrgId = (at: number) => `org ${at}`): Rejections {
  const rejections = new Rejections();
  for (const [at, outcome] of outcomes.entries()) {
    rejections.record({ slice: toSlice(toOrgId(at)), error: toError(outcome) }, orgCount);
  }
  return rejections;
}

test.each<[string, readonly Outcome[], number, boolean]>([
  ['one of ten organizations', ['forbidden'], 10, false],
  ['two of ten', ['forbidden', 'forbidden'], 10, false],
  ['three of ten', ['forbidden', 'forbidden', 'forbidden'], 10, true],
  ['three of ten, after another one', ['ok', 'forbidden', 'forbidden', 'forbidden'], 10, false],
  ['both of two', ['forbidden', 'forbidden'], 2, true],
  ['one of one', ['forbidden'], 1, true],
])('the rejection of a stream by %s stops it or not', (_, outcomes, orgCount, isStopped) => {
  const rejections = record(outcomes, orgCount);
  expect(rejections.worst?.kind).toBe('forbidden');
  expect(rejections.excludedStreams).toEqual(isStopped ? ['device_counts'] : []);
  expect(rejections.findForStream('device_counts')?.kind).toBe(isStopped ? 'forbidden' : undefined);
  expect(rejections.findForStream('payload_totals')).toBeUndefined();
  expect(rejections.endsRun).toBe(false);
});

test('the rejection of the token ends the run, whatever was rejected before; so does a pause that is too long', () => {
  const rejections = record(['ok', 'forbidden', 'unauthorized'], 10);
  expect([rejections.endsRun, rejections.findForStream('payload_totals')?.kind]).toEqual([true, 'unauthorized']);
  expect(record(['rate_limited'], 10).endsRun).toBe(true);
});

test.each<[readonly Outcome[], readonly string[]]>([
  [['timeout'], []],
  [['timeout', 'ok', 'timeout'], ['a']],
])('after %j of one organization, these are excluded: %j', (outcomes, orgIds) => {
  expect(record(outcomes, 10, () => 'a').excludedOrgIds).toEqual(orgIds);
});

test.each<[Outcome, readonly Outcome[], boolean]>([
  ['unauthorized', ['ok'], true],
  ['forbidden', ['forbidden'], true],
  ['forbidden', ['forbidden', 'ok'], false],
  ['timeout', ['timeout'], false],
  ['ok', ['ok'], false],
])('%s after %j says nothing of an organization: %j', (outcome, outcomes, isGlobal) => {
  expect(record(outcomes, 10).isGlobal({ slice: toSlice('a'), error: toError(outcome) })).toBe(isGlobal);
});
