import { dirname, join, relative, resolve, sep } from 'node:path';

/**
 * The parts of the project from top to bottom. A file may import from its own part and from those below it, but not
 * from others on the same line. A file outside all parts may not import from the project.
 */
export const LAYERS = [
  ['test'],
  ['bench'],
  ['test/support'],
  ['deploy'],
  ['src/main.ts'],
  ['src/cli'],
  ['simulator', 'src/worker'],
  ['src/server'],
  ['src/console'],
  ['src/digest'],
  ['src/billing'],
  ['src/loading'],
  ['src/queries'],
  ['src/ledger'],
  ['src/losant', 'src/database'],
  ['src/logger.ts', 'src/settings'],
  ['src/terminal', 'src/files', 'src/memory.ts'],
  ['src/usage'],
  ['src/errors.ts'],
];

/** Forbidden although they point down: only runs and commands talk to Losant. */
const NEVER = {
  'src/console': ['src/losant', 'src/loading'],
  'src/server': ['src/losant', 'src/loading'],
  'src/billing': ['src/losant', 'src/loading'],
  'src/queries': ['src/losant'],
  'src/ledger': ['src/losant'],
  simulator: ['src'],
};

/** Packages that only some parts of src may call. Any file may import their types. */
export const ONLY_IN = {
  ky: ['src/losant', 'src/worker'],
  pg: ['src/database'],
  kysely: ['src/database', 'src/ledger', 'src/queries', 'src/loading', 'src/billing', 'src/console'],
  '@electric-sql/pglite': ['src/database'],
};

/** Files that only a few files of src may import, even for types: the code that writes to Losant, and the simulator. */
export const ONLY_FOR = {
  'src/losant/admin.ts': ['src/cli/org'],
  'src/losant/api.ts': ['src/losant/client.ts', 'src/losant/admin.ts'],
  simulator: ['src/cli/demo'],
};

const ROOT = resolve(import.meta.dirname, '..');

/** Returns whether `path` is the part, is in its folder, or begins with its name, such as `part-rows.ts`. */
function isUnder(path, part) {
  return path === part || path.startsWith(`${part}/`) || path.startsWith(`${part}.`) || path.startsWith(`${part}-`);
}

/** Returns the most precise part that contains the file. */
function partOf(path) {
  const parts = LAYERS.flat().filter((part) => isUnder(path, part));
  return parts.toSorted((a, b) => b.length - a.length)[0];
}

function layerOf(part) {
  return LAYERS.findIndex((parts) => parts.includes(part));
}

/** Returns the reason why `path` may not import `specifier`; null if it may. */
function describeBreach(path, specifier, isType) {
  if (!specifier.startsWith('.')) return describePackageBreach(path, specifier, isType);
  const imported = join(dirname(path), specifier);
  const only = path.startsWith('src/') ? Object.keys(ONLY_FOR).find((each) => isUnder(imported, each)) : undefined;
  if (only !== undefined && !isUnder(path, only) && !ONLY_FOR[only].some((each) => isUnder(path, each))) {
    return `Only ${ONLY_FOR[only].join(' and ')} may import ${only}.`;
  }
  const part = partOf(path);
  if (part === undefined) return `${path} is in no part of the project; add it to lint/imports-point-down.js.`;
  const isNever = (NEVER[part] ?? []).some((each) => isUnder(imported, each));
  if (isUnder(imported, part) || (layerOf(partOf(imported)) > layerOf(part) && !isNever)) return null;
  return `${part} may not import ${imported}: imports point down, see lint/imports-point-down.js.`;
}

function describePackageBreach(path, specifier, isType) {
  const name = Object.keys(ONLY_IN).find((each) => specifier === each || specifier.startsWith(`${each}/`));
  if (name === undefined || isType || !path.startsWith('src/')) return null;
  return ONLY_IN[name].some((each) => isUnder(path, each)) ? null : `Only ${ONLY_IN[name].join(' and ')} call ${name}.`;
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
