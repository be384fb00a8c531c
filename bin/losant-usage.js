#!/usr/bin/env node
/**
 * Starts the program: `src/main.ts` in a checkout, the bundle `dist/main.js` where it is installed, because Node does not
 * run TypeScript below node_modules. The program runs in this process, so arguments and signals reach it unchanged. This
 * file has only syntax that Node 12 parses, so an old Node prints the sentence below and not a syntax error.
 */
const REQUIRED_NODE_MAJOR = 24;
/** Node's exit code for a top-level await that never settles. */
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
  // Node reports a top-level await that never settles only in the entry file. In an imported main it would exit with
  // 0: success, with nothing done.
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
      // Caching compiled code saves a third of the CPU of a start. The cache is next to the program, where only its
      // installer can write; if it cannot be written, each start compiles.
      module.enableCompileCache(import.meta.dirname + '/../.cache/compile');
      return import('node:fs');
    })
    .then((fs) => {
      const source = new URL('../src/main.ts', import.meta.url);
      return import(fs.existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href);
    })
    .then(settle, (error) => {
      settle();
      throw error;
    });
}
