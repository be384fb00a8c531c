/** One concept has one word: what is listed here was replaced, and does not come back. */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const FILES = globSync([
  '{README,CHANGELOG,CONTRIBUTING,SECURITY}.md',
  'docs/**/*.{md,sql}',
  'simulator/README.md',
  '{src,bin,deploy,simulator,bench}/**/*.{ts,js}',
  '{migrations,deploy}/**/*.sql',
  'deploy/**/*.{yml,yaml,json,env,example,service}',
]);

/** Patterns of words in texts, comments and identifiers. */
const WORDS: Readonly<Record<string, string>> = {
  'answer(s|ed|ing)?': 'response, responds, reports',
  'set(s|ting)? aside': 'quarantined',
  'wanted(?!By=|: a first instance)': 'expected',
  'invoic(ed|ing)': 'billed',
  silences: 'omissions',
  beside: 'next to, compared with',
  'all right': 'settled, or the standing',
  theirs: 'the control total, or its owner',
  'judg(e|es|ed|ing)': 'monitor, validate, classify',
  believed: 'confirmed',
  told: 'reported',
  'lapse[sd]?': 'expires',
  removals: 'deletions',
  'troubles?': 'problem',
  'stor(y|ies)': 'explanation',
  'holds? by (itself|themselves)': 'is valid',
  'how (it|they|each|a \\w+|the \\w+) stands?': 'its standing',
  '(days?|months?|periods?) (that )?(is|are|was)( not)? over': 'has ended',
  'final changes?': 'final restatement',
  'Losant (still )?(keeps?|kept)(?! \\w+ing)': 'Losant retains',
  'Losant refuse[sd]?': 'Losant rejects',
  'refused (by|of) Losant': 'rejected by Losant',
  'counted elsewhere': 'counterpart',
  'needs? (a )?person': 'needs attention',
  'defects?': 'bug',
  '(is|not)_over': 'has_ended, not_ended',
  'database refuse[sd]?': 'rejected',
  'is billable': 'is_ready',
  fetched: 'loaded',
  '(partly )?collected (to|from|days?|partly)': 'loaded',
  'dead man': 'heartbeat',
  unconfirmed: 'in doubt, or omitted',
  'days unstored': 'days_not_stored',
  '["\'>]Open["\'<]': 'View, Show, or what it opens',
  // Ideas that were taken away.
  'proof packs?': 'statement',
  'closers?': 'writer',
  'retire[sd]?': 'nothing: an instance is a database',
  'several instances|losant_usage\\.instances': 'the instance',
  '--instance': 'nothing: a process serves one',
  'LOSANT_USAGE_CONFIG|STATEMENT_KEY_FILE': 'nothing',
};

/**
 * Matches a word alone and as a part of an identifier: `set_aside`, `setAside`, `isSetAside`. A space in it matches what
 * separates the words of an identifier, and a line break with the margin of a comment.
 */
function toPattern(word: string): RegExp {
  const margin = word.replaceAll(' ', String.raw`(?:[ _]|(?<=[a-z])(?=[A-Z])|\n *(?://|--|\*|#) *|\n *)`);
  return new RegExp(`(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:${margin})(?![a-z])`, 'g');
}

const OLD = Object.entries(WORDS).map(([word, write]) => [toPattern(word), write] as const);

/** Returns the replaced words of a text as `LINE: "WORD", write: WORD`. */
function findOldWords(text: string): string[] {
  return OLD.flatMap(([pattern, write]) =>
    [...text.matchAll(pattern)].map(({ 0: word, index }) => {
      const line = text.slice(0, index).split('\n').length;
      return `${line}: "${word.replaceAll(/\s+/g, ' ')}", write: ${write}`;
    }),
  );
}

test('texts, comments and names use the words of the vocabulary', () => {
  expect(FILES.length).toBeGreaterThan(150);
  const words = FILES.flatMap((file) => findOldWords(readFileSync(file, 'utf8')).map((word) => `${file}:${word}`));
  expect(words).toEqual([]);
});

test.each([
  ['It is set aside.', 'set aside', 'quarantined'],
  ['// what is set\n  // aside', 'set // aside', 'quarantined'],
  ['const sliceAnswers = 1;', 'Answers', 'response, responds, reports'],
  ['const ANSWER_MS = 1;', 'ANSWER', 'response, responds, reports'],
  ['set_aside, isSetAside, SET_ASIDE', 'SET_ASIDE', 'quarantined'],
  ['Wanted days', 'Wanted', 'expected'],
  ['a month that is over', 'month that is over', 'has ended'],
  ['where m.is_over', 'is_over', 'has_ended, not_ended'],
  ['isBillable', 'isBillable', 'is_ready'],
])('%j has an old word', (text, word, write) => {
  expect(findOldWords(text)).toContain(`1: "${word}", write: ${write}`);
});

test.each(['WantedBy=multi-user.target', 'unanswered', 'isOver', 'the left outer edge'])(
  '%j has no old word',
  (text) => {
    expect(findOldWords(text)).toEqual([]);
  },
);
