/** When a run no longer requests a stream, because Losant rejects it or does not respond for an organization. */
import { expect, test } from 'vitest';
import { LosantError } from '../../src/errors.ts';
import type { SliceResult } from '../../src/loading/extract.ts';
import { Refusals, Timeouts } from '../../src/loading/refusals.ts';

const DAY = '2026-11-23';
type Outcome = 'ok' | 'forbidden' | 'unauthorized' | 'timeout' | 'refused';

function toError(outcome: Outcome): LosantError | null {
  const details = { hint: '', action: '', status: null, body: null };
  return outcome === 'ok' ? null : new LosantError(outcome, outcome, details);
}

/** Returns the refusals of a run after so many organizations have responded to a stream like this, one by one. */
function record(outcomes: readonly Outcome[], orgCount: number): Refusals {
  const refusals = new Refusals();
  for (const [at, outcome] of outcomes.entries()) {
    refusals.record({ stream: 'device_counts', orgId: `org ${at}` }, toError(outcome), orgCount);
  }
  return refusals;
}

// Guarantee (Runs): A missing scope only stops its stream, and an organization that rejects a stream only its own
// cells.
test.each<[string, readonly Outcome[], number, boolean]>([
  ['one of ten organizations', ['forbidden'], 10, false],
  ['two of ten', ['forbidden', 'forbidden'], 10, false],
  ['three of ten', ['forbidden', 'forbidden', 'forbidden'], 10, true],
  ['three of ten, after another one', ['ok', 'forbidden', 'forbidden', 'forbidden'], 10, false],
  ['both of two', ['forbidden', 'forbidden'], 2, true],
  ['one of one', ['forbidden'], 1, true],
])('the rejection of a stream by %s stops it or not', (_, outcomes, orgCount, isStopped) => {
  const refusals = record(outcomes, orgCount);
  expect(refusals.worst?.kind).toBe('forbidden');
  expect(refusals.refusedStreams).toEqual(isStopped ? ['device_counts'] : []);
  expect(refusals.forStream('device_counts')?.kind).toBe(isStopped ? 'forbidden' : undefined);
  expect(refusals.forStream('payload_totals')).toBeUndefined();
});

test('the rejection of the token stops every stream, whatever was rejected before', () => {
  const refusals = record(['ok', 'forbidden', 'unauthorized'], 10);
  expect(refusals.isTokenRefused).toBe(true);
  expect(refusals.forStream('payload_totals')?.kind).toBe('unauthorized');
});

test.each<[Outcome, readonly Outcome[], boolean]>([
  ['unauthorized', ['ok'], true],
  ['forbidden', ['forbidden'], true],
  ['forbidden', ['forbidden', 'ok'], false],
  ['timeout', ['timeout'], false],
  ['ok', ['ok'], false],
])('%s after %j says nothing of an organization: %j', (outcome, outcomes, isGlobal) => {
  const slice = { orgId: 'a', stream: 'device_counts', range: { from: DAY, to: DAY }, days: [DAY] };
  expect(record(outcomes, 10).isGlobal({ slice, error: toError(outcome) })).toBe(isGlobal);
});

const SLICE = { orgId: 'a', stream: 'payload_sources' };

/** Returns the results of a slice, or of its halves. */
function toResults(outcomes: readonly Outcome[]): SliceResult[] {
  return outcomes.map((outcome) => ({ error: toError(outcome) }) as SliceResult);
}

/** Returns which of the slices are requested, if they follow each other and end like this. */
async function extractAll(slices: readonly (readonly Outcome[])[]): Promise<boolean[]> {
  const timeouts = new Timeouts();
  const requested: boolean[] = [];
  for (const outcomes of slices) {
    await timeouts.extractInTurn(SLICE, async (isGivenUp) => {
      requested.push(!isGivenUp);
      return await Promise.resolve(isGivenUp ? [] : toResults(outcomes));
    });
  }
  return requested;
}

test.each<[string, (readonly Outcome[])[], boolean[]]>([
  ['two days in a row', [['timeout'], ['timeout'], ['ok'], ['ok']], [true, true, false, false]],
  ['half a slice', [['timeout', 'timeout'], ['ok']], [true, false]],
  ['the other half of a slice', [['ok', 'timeout'], ['ok']], [true, false]],
  ['single days', [['timeout'], ['ok'], ['timeout'], ['refused'], ['timeout']], [true, true, true, true, true]],
])('after timeouts of %s', async (_, slices, requested) => {
  expect(await extractAll(slices)).toEqual(requested);
});

test('slices follow each other until one has responded, and then run at the same time; other streams do not wait', async () => {
  const timeouts = new Timeouts();
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, stream = 'payload_sources') =>
    timeouts.extractInTurn({ orgId: 'a', stream }, async () => {
      started.push(name);
      const { promise, resolve } = Promise.withResolvers<void>();
      ends.set(name, resolve);
      await promise;
      return toResults(['ok']);
    });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const all = [start('first'), start('second'), start('third'), start('other', 'payload_totals')];
  await settle();
  expect(started).toEqual(['first', 'other']);
  ends.get('first')?.();
  await settle();
  expect(started).toEqual(['first', 'other', 'second', 'third']);
  for (const end of ends.values()) end();
  await Promise.all(all);
});
