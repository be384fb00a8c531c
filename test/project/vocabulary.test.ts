/** One concept has one word: what is listed in vocabulary.ts was replaced, and does not come back. */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findOldWords } from './vocabulary.ts';

const FILES = globSync([
  '{README,CONTRIBUTING,SECURITY}.md',
  'docs/**/*.{md,sql}',
  '{src,bin,deploy}/**/*.{ts,js}',
  '{migrations,pack-checks,deploy}/**/*.sql',
  'deploy/**/*.{yml,yaml,json,env,example,service}',
]);

test('texts, comments and names use the words of the vocabulary', () => {
  expect(FILES.length).toBeGreaterThan(200);
  const lines = FILES.toSorted().flatMap((file) =>
    findOldWords(readFileSync(file, 'utf8')).map(
      ({ line, word, write }) => `${file}:${line}: "${word}", write: ${write}`,
    ),
  );
  expect(lines).toEqual([]);
});

test.each([
  ['select verified_at from losant_usage.cells', 'verified_at', 'last_read_at'],
  ['readonly verifiedAt: string', 'verifiedAt', 'last_read_at'],
  ['losant-usage run --date 2026-11-23', '--date', '--day'],
  ['- alert: LosantUsageGaugesOld', 'LosantUsageGaugesOld', 'LosantUsageMetricsStale'],
  ['It is set aside.', 'set aside', 'quarantined'],
  ['// what Losant left\n  // out of its body', 'left // out', 'omitted'],
  ['const sliceAnswers = 1;', 'Answers', 'response, responds, reports'],
  ['const ANSWER_MS = 1;', 'ANSWER', 'response, responds, reports'],
  ['left_out, isLeftOut, LEFT_OUT', 'left_out', 'omitted'],
  ['Wanted days', 'Wanted', 'expected'],
  ['a month that is over', 'month that is over', 'has ended'],
])('%j has an old word', (text, word, write) => {
  expect(findOldWords(text)).toContainEqual({ line: 1, word, write });
});

test.each(['WantedBy=multi-user.target', 'unanswered', 'billing_period_usage', 'isOver', 'the left outer edge'])(
  '%j has no old word',
  (text) => {
    expect(findOldWords(text)).toEqual([]);
  },
);
