import { dirname, join, relative, resolve, sep } from 'node:path';

const LEAVES = ['src/errors.ts', 'src/exit.ts', 'src/logger.ts'];
const FLOOR = ['src/usage', ...LEAVES];
const CONNECTION = ['src/database/connect', 'src/database/schema.ts'];
/** How numbers, days and times are said, in a terminal and on a page. */
const WORDS = ['src/terminal/words.ts', 'src/terminal/time.ts'];
const BELOW_CLI = [
  ...[
    'src/worker',
    'src/server',
    'src/explain',
    'src/export',
    'src/billing',
    'src/losant',
    'src/database',
    'src/settings',
    'src/terminal',
    'src/files',
  ],
  ...FLOOR,
];
const TESTED = ['simulator', 'lint', 'src/run.ts', 'src/cli', ...BELOW_CLI];

/**
 * What each part of the project may import of it, beside its own folder: imports point down, from main
 * to the leaves. The most precise entry holds for a file; a file without one may import nothing of the
 * project. `types` may be imported as types only.
 */
export const MAY_IMPORT = {
  'src/main.ts': { values: ['src'] },
  'src/run.ts': { values: ['src/cli', 'src/settings', 'src/terminal', ...FLOOR] },
  'src/cli': { values: BELOW_CLI },
  'src/cli/demo.ts': { values: ['src/cli', 'simulator', ...BELOW_CLI] },
  'src/cli/simulator.ts': { values: ['src/cli', 'simulator', ...BELOW_CLI] },
  'src/worker': { values: ['src/export', 'src/database', ...FLOOR], types: ['src/server', 'src/settings'] },
  'src/explain': { values: ['src/database/read', ...WORDS, ...FLOOR], types: ['src/database/schema.ts'] },
  'src/server': {
    values: ['src/database/read', 'src/explain', 'src/files', ...WORDS, 'src/terminal/text.ts', ...FLOOR],
    types: CONNECTION,
  },
  'src/export': { values: ['src/losant', 'src/database', ...FLOOR], types: ['src/settings'] },
  'src/billing': { values: ['src/database', 'src/files', ...FLOOR] },
  'src/losant': { values: FLOOR },
  'src/database/read': { values: [...CONNECTION, ...FLOOR], types: ['src/files'] },
  'src/database/write': { values: [...CONNECTION, ...FLOOR] },
  'src/database/migrate': { values: [...CONNECTION, ...FLOOR] },
  'src/database/connect': { values: ['src/database/schema.ts', ...FLOOR] },
  'src/database/schema.ts': { values: ['src/usage'] },
  'src/terminal': { values: ['src/usage', 'src/errors.ts'] },
  'src/files': { values: ['src/usage', 'src/errors.ts'] },
  'src/settings': { values: ['src/usage', 'src/errors.ts'] },
  'src/usage': { values: ['src/errors.ts'] },
  'src/exit.ts': { values: ['src/errors.ts'] },
  'src/logger.ts': { values: ['src/errors.ts', 'src/terminal'] },
  'src/memory.ts': { values: [] },
  'src/errors.ts': { values: [] },
  simulator: { values: [] },
  test: { values: ['bench', ...TESTED] },
  bench: { values: ['test', ...TESTED] },
};

/** Packages that one part of src alone may call; everyone may name their types. */
export const ONLY_IN = {
  ky: 'src/losant',
  undici: 'src/losant',
  pg: 'src/database',
  'pg-copy-streams': 'src/database',
  kysely: 'src/database',
  '@electric-sql/pglite': 'src/database',
};

/** Files that few files of src alone may import, even their types: what can write to Losant, and what could. */
export const ONLY_FOR = {
  'src/losant/admin.ts': ['src/cli/org-admin.ts', 'src/cli/org-set.ts', 'src/cli/org-delete.ts'],
  'src/losant/transport.ts': ['src/losant/http.ts', 'src/losant/admin.ts'],
};

const ROOT = resolve(import.meta.dirname, '..');

/** Whether `path` is `part`, lies in the folder `part`, or is the file `part.ts` beside it. */
function isUnder(path, part) {
  return path === part || path === `${part}.ts` || path.startsWith(`${part}/`);
}

/** The part of the project that a file belongs to; undefined if it has no entry. */
function partOf(path) {
  const parts = Object.keys(MAY_IMPORT).filter((part) => isUnder(path, part));
  return parts.toSorted((a, b) => b.length - a.length)[0];
}

/** Why `path` may not import `specifier`; null if it may. */
function describeBreach(path, specifier, isType) {
  if (!specifier.startsWith('.')) return describePackageBreach(path, specifier, isType);
  const imported = join(dirname(path), specifier);
  const only = path.startsWith('src/') ? ONLY_FOR[imported] : undefined;
  if (only !== undefined && !only.some((each) => isUnder(path, each))) {
    return `Only ${only.join(' and ')} may import ${imported}: nothing else can send anything but GET.`;
  }
  const part = partOf(path);
  if (part === undefined) return `${path} has no entry in lint/imports-point-down.js.`;
  const { values, types = [] } = MAY_IMPORT[part];
  const allowed = isType ? [part, ...values, ...types] : [part, ...values];
  if (allowed.some((each) => isUnder(imported, each))) return null;
  return `${part} may not import ${imported}: imports point down, see lint/imports-point-down.js.`;
}

function describePackageBreach(path, specifier, isType) {
  const name = Object.keys(ONLY_IN).find((each) => isUnder(specifier, each));
  if (name === undefined || isType || !isUnder(path, 'src') || isUnder(path, ONLY_IN[name])) return null;
  return `Only ${ONLY_IN[name]} calls ${name}.`;
}

const importsPointDown = {
  create(context) {
    const path = relative(ROOT, context.filename).replaceAll(sep, '/');
    function check(node, source, kind) {
      const specifier = source?.type === 'TemplateLiteral' ? source.quasis[0].value.cooked : source?.value;
      if (typeof specifier !== 'string') return;
      const message = describeBreach(path, specifier, kind === 'type');
      if (message !== null) context.report({ node: source, message });
    }
    return {
      ImportDeclaration: (node) => check(node, node.source, node.importKind),
      ExportNamedDeclaration: (node) => check(node, node.source, node.exportKind),
      ExportAllDeclaration: (node) => check(node, node.source, node.exportKind),
      ImportExpression: (node) => check(node, node.source, 'value'),
      TSImportType: (node) => check(node, node.source, 'type'),
    };
  },
};

export default { meta: { name: 'layout' }, rules: { 'imports-point-down': importsPointDown } };
