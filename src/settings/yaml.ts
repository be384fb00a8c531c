import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { Problem } from './problems.ts';

const load = createRequire(import.meta.url);

/** What mistakes look like to who made them, and what to do. The parser's guess is often the wrong one. */
const MISTAKES: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  TAB_AS_INDENT: ['a tab as indentation', 'use spaces'],
  BAD_INDENT: ['wrong indentation', 'align it with its neighbours, or close a bracket before it'],
  BLOCK_AS_IMPLICIT_KEY: [
    'wrong indentation',
    'align it with its neighbours, or quote a text that has a colon',
  ],
  MULTILINE_IMPLICIT_KEY: ['wrong indentation', 'align it with its neighbours, and write key: value'],
  MISSING_CHAR: ['wrong indentation', 'align it with its neighbours, or close a quote or bracket before it'],
  DUPLICATE_KEY: ['a key that is there already', 'keep one of them'],
  BAD_ALIAS: ['a text that begins with *', 'put it in quotes'],
  BAD_SCALAR_START: ['a text that begins with a special character', 'put it in quotes'],
  MULTIPLE_DOCS: ['a second document', 'remove the ---'],
  TAG_RESOLVE_FAILED: ['a text that begins with !', 'put it in quotes'],
};

/**
 * Texts, and lists and maps of them, whatever a text looks like: nothing turns an
 * id into a number. Null for a wrong text, once the first mistake
 * of each line is reported.
 */
export function parseYaml(path: string, text: string, problems: Problem[]): { value: unknown } | null {
  // Loaded here, as few have a settings file.
  const { LineCounter, parseDocument } = load('yaml') as typeof Yaml;
  const lineCounter = new LineCounter();
  // Its own messages quote the file, which may hold a secret by mistake: only codes and places are shown.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false, lineCounter });
  const mistakes = [...document.errors, ...document.warnings];
  const lines = mistakes.map(({ pos }) => lineCounter.linePos(pos[0]).line);
  for (const [i, { code }] of mistakes.entries()) {
    if (lines.indexOf(lines[i] ?? 0) < i) continue;
    const [problem, remedy] = MISTAKES[code] ?? [`not plain YAML (${code})`, 'correct the file there'];
    problems.push({ name: `${path}, line ${lines[i]}:`, problem, remedy });
  }
  try {
    return mistakes.length > 0 ? null : { value: document.toJS() };
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    const remedy = 'define each anchor before its alias, or write the value out';
    problems.push({ name: path, problem: 'has an alias (*) that cannot be followed', remedy });
    return null;
  }
}
