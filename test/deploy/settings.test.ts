/** The settings that the files of deploy/ give to the program, read as the program reads them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../../src/settings/config.ts';

interface Service {
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
}

const compose = parse(readFileSync('deploy/compose.yaml', 'utf8')) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};

/** What a secret of a kind looks like, in a file of its own. */
const SECRETS = {
  'database-url': 'postgres://user:password@host:5432/billing',
  'heartbeat-url': 'https://monitor.example.com/ping',
  token: 'eyJ.some-long-token',
};

const folder = mkdtempSync(join(tmpdir(), 'losant-usage-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));
for (const [name, text] of Object.entries(SECRETS)) writeFileSync(join(folder, name), text);

/** Throws with every problem of the settings, whose secrets are there. */
function assertAccepted(
  env: Readonly<Record<string, string>>,
  needs: readonly ('losant' | 'database')[] = ['losant', 'database'],
): void {
  const texts = Object.entries(env).map(([name, text]) => {
    const kind = Object.keys(SECRETS).find((each) => text.endsWith(each));
    return [name, name.endsWith('_FILE') && kind !== undefined ? join(folder, kind) : text];
  });
  readConfig({ env: Object.fromEntries(texts), configFile: null, needs });
}

/** Returns `name=text` lines as variables, with quotes read as a shell and systemd read them. */
function readLines(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => /^[A-Z_]+=/.test(line));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1).replaceAll(/^"|"$/g, '')];
    }),
  );
}

test.each([
  ['worker', { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' }, ['losant', 'database']],
  ['migrate', {}, ['database']],
  ['billing', {}, ['database']],
] as const)('the program takes the settings of %s in compose.yaml', (name, more, needs) => {
  assertAccepted({ ...compose.services[name]?.environment, ...more }, needs);
});

test('compose.yaml gives each service the secrets that its settings name, and nobody the password of an owner', () => {
  const logins = Object.entries(compose.services).flatMap(([name, { environment = {}, secrets = [] }]) => {
    const named = Object.values(environment).filter((text) => text.startsWith('/run/secrets/'));
    expect(secrets).toEqual(expect.arrayContaining(named.map((path) => path.slice('/run/secrets/'.length))));
    return secrets.filter((secret) => secret.endsWith('database-url')).map((secret) => [name, secret]);
  });
  expect(logins).toEqual([
    ['migrate', 'migrator-database-url'],
    ['worker', 'writer-database-url'],
    ['billing', 'closer-database-url'],
  ]);
  for (const [name, { file }] of Object.entries(compose.secrets)) expect(file).toBe(`./secrets/${name}`);
  expect(readFileSync('deploy/secrets/.gitignore', 'utf8')).toMatch(/^\*$/m);
});

test.each(['as it is', 'with every line switched on'])('the program takes the file of systemd %s', (how) => {
  const text = readFileSync('deploy/systemd/losant-usage.env.example', 'utf8');
  assertAccepted(readLines(how === 'as it is' ? text : text.replaceAll(/^#(?=[A-Z_]+=)/gm, '')));
});

interface Pod {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template: {
      readonly spec: { readonly containers: readonly { env: readonly { name: string; value: string }[] }[] };
    };
  };
}

test.each([
  ['base/worker.yaml', 'Deployment', ['losant', 'database']],
  ['jobs/backfill.yaml', 'Job', ['losant', 'database']],
  ['jobs/migrate.yaml', 'Job', ['database']],
] as const)('the program takes the settings of Kubernetes in %s', (file, kind, needs) => {
  const shared = parse(readFileSync('deploy/kubernetes/base/settings.yaml', 'utf8')) as Pod;
  const documents = parseAllDocuments(readFileSync(`deploy/kubernetes/${file}`, 'utf8'));
  const pod = documents.map((each) => each.toJS() as Pod).find((each) => each.kind === kind);
  const [container] = pod?.spec?.template.spec.containers ?? [];
  const own = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
  assertAccepted({ ...(needs.length > 1 ? shared.data : {}), ...own }, needs);
});
