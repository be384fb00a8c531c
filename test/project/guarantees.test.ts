/**
 * docs/guarantees.md lists the promises that stand above the tests that hold them: `npm run guarantees` writes it.
 * `// Promise (Subject): Text.` stands above a test, in one line or several; a test may hold several promises.
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
const [BEGIN, END] = ['<!-- promises -->', '<!-- end of promises -->'];

interface Promised {
  readonly subject: string;
  readonly text: string;
  readonly holder: string;
}

const COMMENT = /^ *\/\/ Promise \((?<subject>[A-Z][a-z ]+)\): (?<text>.*(?:\n *\/\/ (?!Promise).*)*)/gm;
const TITLE = /\b(?:test|it)\b[^;]*?\(\s*(?<quote>['"`])(?<title>(?:\\.|(?!\k<quote>).)*)\k<quote>/s;

/** Returns the promises of a test file, each with the test below it. Throws if there is none. */
function readPromises(file: string): Promised[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(COMMENT)].map(({ index, 0: comment, groups }) => {
    const title = TITLE.exec(text.slice(index + comment.length))?.groups?.['title'];
    if (title === undefined) throw new Error(`${file}: no test below "${groups?.['text']}"`);
    return {
      subject: groups?.['subject'] ?? '',
      text: (groups?.['text'] ?? '').replaceAll(/\n *\/\/ /g, ' '),
      holder: `\`${file}\`: ${title.replaceAll(/\\(.)/g, '$1')}`,
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
    const items = [...own].map(([text, all]) =>
      [`- ${text}`, ...all.map(({ holder }) => `  - ${holder}`)].join('\n'),
    );
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
