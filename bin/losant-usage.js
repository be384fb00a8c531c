#!/usr/bin/env node
/**
 * Starts the program: `src/main.ts` in a checkout, `dist/src/main.js` where it is installed (Node does
 * not run TypeScript below node_modules). The program runs in this process, so that arguments and
 * signals reach main unchanged. Everything up to the version check is syntax that Node 12 parses, so
 * that an old Node prints the sentence and not a syntax error.
 */
const REQUIRED_NODE_MAJOR = 24;
/** Node's own exit code when a top-level await never ends. */
const EXIT_UNSETTLED_AWAIT = 13;

if (Number(process.versions.node.split('.')[0]) < REQUIRED_NODE_MAJOR) {
  process.stderr.write(
    'losant-usage needs Node.js ' + REQUIRED_NODE_MAJOR + ' or newer; this is ' + process.version + '.\n',
  );
  process.exitCode = 2;
} else {
  start();
}

function start() {
  let settled = false;
  // Node reports a main that waits forever only when main is the entry file. Imported from here, it would end
  // with exit code 0: success, with nothing done.
  process.once('beforeExit', () => {
    if (settled || process.exitCode) return;
    process.stderr.write('losant-usage stopped before it had finished. This is a bug; please report it.\n');
    process.exitCode = EXIT_UNSETTLED_AWAIT;
  });
  const settle = () => {
    settled = true;
  };
  import('node:module')
    .then((module) => {
      // Compiled code is cached beside the program, where only its installer may write; it saves a third of
      // the CPU of a start. Where the cache cannot be written, each start compiles.
      module.enableCompileCache(import.meta.dirname + '/../.cache/compile');
      return import('node:fs');
    })
    .then((fs) => {
      const source = new URL('../src/main.ts', import.meta.url);
      return import(
        fs.existsSync(source) ? source.href : new URL('../dist/src/main.js', import.meta.url).href
      );
    })
    .then(settle, (error) => {
      settle();
      throw error;
    });
}
