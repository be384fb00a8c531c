import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Forbids cycles that `import()` closes, which import/no-cycle ignores. */
const SPECIFIER = /(?:\bfrom|\bimport\(|\bimport)\s*['"`](\.[^'"`]+)['"`]/g;

/** The imports of each file. One process lints all files, and reads each once. */
const importsByPath = new Map();

function readImports(path) {
  const cached = importsByPath.get(path);
  if (cached !== undefined) return cached;
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // The compiler reports files that do not exist.
  }
  const paths = [...text.matchAll(SPECIFIER)].map(([, specifier]) => resolve(dirname(path), specifier));
  importsByPath.set(path, paths);
  return paths;
}

/** Returns whether imports lead from one file to another. */
function isReachable(from, to) {
  const reached = new Set([from]);
  for (const path of reached) {
    if (path === to) return true;
    for (const next of readImports(path)) reached.add(next);
  }
  return false;
}

const noDynamicCycle = {
  create(context) {
    return {
      ImportExpression({ source }) {
        if (typeof source.value !== 'string' || !source.value.startsWith('.')) return;
        const target = resolve(dirname(context.filename), source.value);
        if (!isReachable(target, context.filename)) return;
        const message = `${source.value} imports this file, directly or through others.`;
        context.report({ node: source, message });
      },
    };
  },
};

export default { meta: { name: 'cycles' }, rules: { 'no-dynamic-cycle': noDynamicCycle } };
