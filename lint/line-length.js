/** Limits the length of a line, which the linter lacks and the formatter leaves alone in texts and comments. */
const CHARACTERS_MAX = 120;

const lineLength = {
  create(context) {
    return {
      Program() {
        const { lines } = context.sourceCode;
        for (const [index, { length }] of lines.entries()) {
          if (length <= CHARACTERS_MAX) continue;
          const loc = {
            start: { line: index + 1, column: CHARACTERS_MAX },
            end: { line: index + 1, column: length },
          };
          context.report({ loc, message: `${length} characters; ${CHARACTERS_MAX} are the most.` });
        }
      },
    };
  },
};

export default { meta: { name: 'lines' }, rules: { 'line-length': lineLength } };
