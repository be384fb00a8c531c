/** Limits the length of lines: the linter has no rule for it, and the formatter does not wrap texts and comments. */
const MAX_CHARACTERS = 120;

const lineLength = {
  create(context) {
    return {
      Program() {
        const { lines } = context.sourceCode;
        for (const [index, { length }] of lines.entries()) {
          if (length <= MAX_CHARACTERS) continue;
          const loc = {
            start: { line: index + 1, column: MAX_CHARACTERS },
            end: { line: index + 1, column: length },
          };
          context.report({
            loc,
            message: `The line has ${length} characters; the limit is ${MAX_CHARACTERS}.`,
          });
        }
      },
    };
  },
};

export default { meta: { name: 'lines' }, rules: { 'line-length': lineLength } };
