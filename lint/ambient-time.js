/**
 * Forbids `new Date()` and `Date()` without arguments, a rule that the linter lacks: they read the
 * host's clock. `now` travels as a value instead, so that every decision can be tested with a literal
 * instant.
 */
const MESSAGE = 'Take `now` as a parameter: the clock is read only in main.';

const noAmbientDate = {
  create(context) {
    function check(node) {
      const { callee } = node;
      if (callee.type !== 'Identifier' || callee.name !== 'Date') return;
      if (node.type === 'CallExpression' || node.arguments.length === 0)
        context.report({ node, message: MESSAGE });
    }
    return { NewExpression: check, CallExpression: check };
  },
};

export default { meta: { name: 'ambient-time' }, rules: { 'no-ambient-date': noAmbientDate } };
