import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** Packages that a fresh process has loaded, of those that are for some uses only, once it did this. */
function loadedAfter(code: string): string[] {
  const program = `
    import Module from 'node:module';
    import { createLogger } from './src/logger.ts';
    import { readConfig } from './src/settings/config.ts';
    const env = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', LOSANT_API_TOKEN: 'eyJ.token' };
    ${code}
    const paths = Object.keys(Module._cache);
    console.log(JSON.stringify(['yaml', 'kysely'].filter((name) => {
      return paths.some((path) => path.includes('/node_modules/' + name + '/'));
    })));`;
  const text = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  return JSON.parse(text) as string[];
}

test('YAML is not loaded by a service without a settings file', () => {
  const code = `
    readConfig({ env, configFile: null, needs: ['losant'] });
    createLogger({ level: 'info', pretty: false, destination: process.stderr });`;
  expect(loadedAfter(code)).toEqual([]);
});

test('YAML is loaded for a settings file', () => {
  const code = `
    const readFile = () => ({ text: 'instances: [{ id: 575ec8687ae143cd83dc4a97, tokenVariable: T }]', mode: 0 });
    readConfig({ env: { T: 'token' }, configFile: 'usage.yaml', readFile, needs: ['losant'] });
    createLogger({ level: 'info', pretty: true, destination: process.stderr });`;
  expect(loadedAfter(code)).toEqual(['yaml']);
});
