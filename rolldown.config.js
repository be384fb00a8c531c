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
  plugins: [{ name: 'packages', generateBundle: emitPackages }],
});

/**
 * Writes the licenses of the packages in the bundle, which they require, and a CycloneDX list of these packages. That
 * of `npm sbom --omit dev` lacks packages that tools of development depend on too.
 */
function emitPackages(_options, bundle) {
  const modules = Object.values(bundle).flatMap((chunk) => Object.keys(chunk.modules ?? {}));
  const folders = modules.map((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const packages = [...new Set(folders.filter(Boolean))].map((folder) => ({ folder, ...readPackage(folder) }));
  const notices = packages.map(({ folder, name, version, license }) => {
    const text = globSync(`${folder}/{licen[cs]e,LICEN[CS]E,License}*`)
      .map((path) => readFileSync(path, 'utf8').trim())
      .join('\n\n');
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  const components = packages.map((each) => ({ type: 'library', ...toComponent(each) }));
  const component = { type: 'application', ...toComponent(readPackage('.')) };
  const list = { bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, metadata: { component }, components };
  this.emitFile({ type: 'asset', fileName: 'NOTICES.txt', source: notices.join(`\n${'-'.repeat(80)}\n\n`) });
  this.emitFile({ type: 'asset', fileName: 'sbom.json', source: `${JSON.stringify(list, null, 2)}\n` });
}

const readPackage = (folder) => JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));

function toComponent({ name, version, license }) {
  return {
    name,
    version,
    licenses: [{ license: { id: license } }],
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  };
}
