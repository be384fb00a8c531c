/**
 * `npm run guarantees` collects docs/guarantees.md from the comments `// Guarantee (Subject): Text.` above tests. A
 * comment may take several lines, and a test may have several of them.
 */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const PATH = 'docs/guarantees.md';
const SUBJECTS = ['Numbers', 'Missing numbers', 'Changes', 'Runs', 'Losant', 'Database', 'Billing', 'Operation'];
const [BEGIN, END] = ['<!-- guarantees -->', '<!-- end of guarantees -->'];

interface Guarantee {
  readonly subject: string;
  readonly text: string;
  readonly file: string;
}

const COMMENT = /^ *\/\/ Guarantee \((?<subject>[A-Z][a-z ]+)\): (?<text>.*(?:\n *\/\/ (?!Guarantee \().*)*)/gm;

/** Returns the guarantees of a test file. Throws if no test follows one. */
function readGuarantees(file: string): Guarantee[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(COMMENT)].map(({ index, 0: comment, groups }) => {
    const isAbove = /^\n *(?:\/\/.*\n *)*(?:test|it)\b/.test(text.slice(index + comment.length));
    if (!isAbove) throw new Error(`${file}: no test below "${groups?.['text']}"`);
    return { subject: groups?.['subject'] ?? '', text: (groups?.['text'] ?? '').replaceAll(/\n *\/\/ /g, ' '), file };
  });
}

const guarantees = globSync('test/**/*.test.ts').toSorted().flatMap(readGuarantees);

function renderList(): string {
  const sections = SUBJECTS.map((subject) => {
    const byText = Map.groupBy(
      guarantees.filter((each) => each.subject === subject),
      ({ text }) => text,
    );
    const items = [...byText].map(([text, group]) => {
      const files = [...new Set(group.map(({ file }) => `\`${file}\``))];
      return `- ${text} (${files.join(', ')})`;
    });
    return `### ${subject}\n\n${items.join('\n')}`;
  });
  return `${BEGIN}\n\n${sections.join('\n\n')}\n\n${END}`;
}

test('docs/guarantees.md lists the guarantees of the tests: npm run guarantees', async () => {
  const text = readFileSync(PATH, 'utf8');
  const [before = '', rest = ''] = text.split(BEGIN);
  const [, after = ''] = rest.split(END);
  await expect(`${before}${renderList()}${after}`).toMatchFileSnapshot(`../../${PATH}`);
});

test('each guarantee is a sentence under a known subject', () => {
  expect(guarantees.filter(({ subject }) => !SUBJECTS.includes(subject))).toEqual([]);
  expect(guarantees.filter(({ text }) => !/^[A-Z].*\.$/.test(text))).toEqual([]);
  expect(SUBJECTS.filter((subject) => !guarantees.some((each) => each.subject === subject))).toEqual([]);
});
