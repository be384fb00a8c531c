import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Forbids circles that are closed by `import()`, which import/no-cycle passes over: the file that is imported, or one
 * below it, imports the file that imports it.
 */
const SPECIFIER = /(?:\bfrom|\bimport\(|\bimport)\s*['"`](\.[^'"`]+)['"`]/g;

/** What each file imports: one process lints them all, and each is read once. */
const imported = new Map();

function importsOf(path) {
  const known = imported.get(path);
  if (known !== undefined) return known;
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // That a file is not there is what the compiler says.
  }
  const paths = [...text.matchAll(SPECIFIER)].map(([, specifier]) => resolve(dirname(path), specifier));
  imported.set(path, paths);
  return paths;
}

/** Returns whether imports lead from one file to another. */
function leads(from, to) {
  const seen = new Set([from]);
  for (const path of seen) {
    if (path === to) return true;
    for (const next of importsOf(path)) seen.add(next);
  }
  return false;
}

const noDynamicCircle = {
  create(context) {
    return {
      ImportExpression({ source }) {
        if (typeof source.value !== 'string' || !source.value.startsWith('.')) return;
        const target = resolve(dirname(context.filename), source.value);
        if (!leads(target, context.filename)) return;
        context.report({
          node: source,
          message: `${source.value} imports this file, by itself or by others.`,
        });
      },
    };
  },
};

export default { meta: { name: 'circles' }, rules: { 'no-dynamic-circle': noDynamicCircle } };
