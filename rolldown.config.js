/** Bundles the program and its dependencies into `dist`: a bundle starts in half the time. */
import { globSync, readFileSync } from 'node:fs';
import { defineConfig } from 'rolldown';

export default defineConfig({
  input: { main: 'src/main.ts' },
  platform: 'node',
  // PGlite is optional, and larger than all the rest; pg asks for its native client, which nobody installs.
  external: ['@electric-sql/pglite', 'pg-native'],
  output: {
    dir: 'dist',
    cleanDir: true,
    format: 'esm',
    chunkFileNames: '[name].js',
    // Names of classes are compared and logged.
    keepNames: true,
    sourcemap: true,
    sourcemapExcludeSources: true,
  },
  plugins: [{ name: 'notices', generateBundle: emitNotices }],
});

/** Writes the licenses of the packages in the bundle, which they require. */
function emitNotices(_options, bundle) {
  const modules = Object.values(bundle).flatMap((chunk) => Object.keys(chunk.modules ?? {}));
  const folders = modules.map((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const notices = [...new Set(folders.filter(Boolean))].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const text = globSync(`${folder}/{licen[cs]e,LICEN[CS]E,License}*`)
      .map((path) => readFileSync(path, 'utf8').trim())
      .join('\n\n');
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  this.emitFile({ type: 'asset', fileName: 'NOTICES.txt', source: notices.join(`\n${'-'.repeat(80)}\n\n`) });
}
