/** When slices of an organization's stream start, and when the stream is given up. */
import { expect, test } from 'vitest';
import { LosantError } from '../../src/errors.ts';
import type { SliceResult } from '../../src/loading/extract.ts';
import { Timeouts } from '../../src/loading/refusals.ts';

const SLICE = { orgId: 'a', stream: 'payload_sources' };
type Outcome = 'ok' | 'timeout' | 'refused';

/** Returns the results of a slice, or of its halves. */
function toResults(outcomes: readonly Outcome[]): SliceResult[] {
  const details = { hint: '', action: '', status: null, body: null };
  return outcomes.map((outcome) => {
    const error = outcome === 'ok' ? null : new LosantError(outcome, outcome, details);
    return { error } as SliceResult;
  });
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
