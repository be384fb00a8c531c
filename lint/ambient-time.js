/**
 * Forbids `new Date()` and `Date()` without arguments, for which the linter has no rule: they read the host's clock.
 * `now` is passed as a value instead, so that tests can use literal instants.
 */
const MESSAGE = 'Only main reads the clock; take `now` as a parameter.';

const noAmbientDate = {
  create(context) {
    function check(node) {
      const { callee } = node;
      if (callee.type !== 'Identifier' || callee.name !== 'Date') return;
      if (node.type === 'CallExpression' || node.arguments.length === 0) context.report({ node, message: MESSAGE });
    }
    return { NewExpression: check, CallExpression: check };
  },
};

export default { meta: { name: 'ambient-time' }, rules: { 'no-ambient-date': noAmbientDate } };
