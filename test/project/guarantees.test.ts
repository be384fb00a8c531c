/**
 * docs/guarantees.md lists the promises that stand above the tests that hold them: `npm run guarantees` writes it.
 * `// Guarantee (Subject): Text.` stands above a test, in one line or several; a test may hold several promises.
 */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const PATH = 'docs/guarantees.md';
const SUBJECTS = [
  'Numbers',
  'Missing numbers',
  'Changes',
  'Runs',
  'Losant',
  'Database',
  'Billing',
  'Operation',
];
const [BEGIN, END] = ['<!-- guarantees -->', '<!-- end of promises -->'];

interface Promised {
  readonly subject: string;
  readonly text: string;
  readonly file: string;
}

const COMMENT = /^ *\/\/ Promise \((?<subject>[A-Z][a-z ]+)\): (?<text>.*(?:\n *\/\/ (?!Promise).*)*)/gm;
/** Returns the promises of a test file. Throws if there is no test below one. */
function readPromises(file: string): Promised[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(COMMENT)].map(({ index, 0: comment, groups }) => {
    const isAbove = /^\n *(?:\/\/.*\n *)*(?:test|it)\b/.test(text.slice(index + comment.length));
    if (!isAbove) throw new Error(`${file}: no test below "${groups?.['text']}"`);
    return {
      subject: groups?.['subject'] ?? '',
      text: (groups?.['text'] ?? '').replaceAll(/\n *\/\/ /g, ' '),
      file,
    };
  });
}

const promises = globSync('test/**/*.test.ts').toSorted().flatMap(readPromises);

function render(): string {
  const sections = SUBJECTS.map((subject) => {
    const own = Map.groupBy(
      promises.filter((each) => each.subject === subject),
      ({ text }) => text,
    );
    const items = [...own].map(([text, all]) => {
      const files = [...new Set(all.map(({ file }) => `\`${file}\``))];
      return `- ${text} (${files.join(', ')})`;
    });
    return `### ${subject}\n\n${items.join('\n')}`;
  });
  return `${BEGIN}\n\n${sections.join('\n\n')}\n\n${END}`;
}

test('docs/guarantees.md lists the promises of the tests', async () => {
  const text = readFileSync(PATH, 'utf8');
  const [before = '', rest = ''] = text.split(BEGIN);
  const [, after = ''] = rest.split(END);
  await expect(`${before}${render()}${after}`).toMatchFileSnapshot(`../../${PATH}`);
});

test('each promise is a sentence under a known subject', () => {
  expect(promises.filter(({ subject }) => !SUBJECTS.includes(subject))).toEqual([]);
  expect(promises.filter(({ text }) => !/^[A-Z].*\.$/.test(text))).toEqual([]);
  expect(SUBJECTS.filter((subject) => !promises.some((each) => each.subject === subject))).toEqual([]);
});
