import { globSync, readFileSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';

/**
 * Participles, adverbs, prepositions and pronouns: they tell how a value came to be and hide what it is. A name may
 * contain one, as `expectedDays` does, but not consist of it.
 */
const BARE_WORDS = new Set(
  `about again asked beside chosen counted done found given gone held here how judged kept known left listed made meant
  missed moved named noted opened ours over own passed rest said seen sent shown since soon sooner spent taken theirs
  then there told until wanted what which who why written`.split(/\s+/),
);

const noBareWord = {
  create(context) {
    function check(node) {
      if (!BARE_WORDS.has(node?.name)) return;
      const message = `"${node.name}" hides the noun: name the value by what it is.`;
      context.report({ node, message });
    }

    /** Checks each name that a variable or a parameter declares. */
    function checkPattern(node) {
      if (node?.type === 'ObjectPattern') {
        for (const each of node.properties) checkPattern(each.value ?? each.argument);
      } else if (node?.type === 'ArrayPattern') {
        for (const each of node.elements) checkPattern(each);
      } else {
        const inner = node?.left ?? node?.argument ?? node?.parameter;
        if (inner) checkPattern(inner);
        else check(node);
      }
    }

    function checkFunction({ id, params }) {
      check(id);
      for (const each of params) checkPattern(each);
    }

    function checkMember({ key, computed }) {
      if (!computed) check(key);
    }

    return {
      VariableDeclarator: ({ id }) => checkPattern(id),
      CatchClause: ({ param }) => checkPattern(param),
      FunctionDeclaration: checkFunction,
      FunctionExpression: checkFunction,
      ArrowFunctionExpression: checkFunction,
      MethodDefinition: checkMember,
      PropertyDefinition: checkMember,
      TSMethodSignature: checkMember,
      TSPropertySignature: checkMember,
    };
  },
};

const ROOT = resolve(import.meta.dirname, '..');
const EXPORT = /^export (?:async |abstract )?(?:function\*?|class|const|let|type|interface|enum) (\w+)/gm;

/** Its names are those of the tables, and it is generated from them. */
const GENERATED = 'src/database/schema.ts';

/** The files of src by each name that they export. One process lints all files, and reads them here once. */
let exporters = null;

function readExporters() {
  const byName = new Map();
  for (const path of globSync('src/**/*.ts', { cwd: ROOT, exclude: [GENERATED] })) {
    for (const [, name] of readFileSync(resolve(ROOT, path), 'utf8').matchAll(EXPORT))
      byName.set(name, (byName.get(name) ?? new Set()).add(path.replaceAll(sep, '/')));
  }
  return byName;
}

const noSharedExport = {
  create(context) {
    const path = relative(ROOT, context.filename).replaceAll(sep, '/');
    if (path === GENERATED) return {};
    return {
      ExportNamedDeclaration({ declaration }) {
        const names = declaration?.declarations?.map(({ id }) => id) ?? [declaration?.id];
        for (const node of names) {
          exporters ??= readExporters();
          const others = [...(exporters.get(node?.name) ?? [])].filter((each) => each !== path);
          if (others.length === 0) continue;
          const message = `${others.join(' and ')} exports "${node.name}" too: a name means one thing in src.`;
          context.report({ node, message });
        }
      },
    };
  },
};

export default {
  meta: { name: 'names' },
  rules: { 'no-bare-word': noBareWord, 'no-shared-export': noSharedExport },
};
