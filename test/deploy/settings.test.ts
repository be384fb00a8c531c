/** The program accepts the settings in the files of deploy/. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../../src/settings/config.ts';
import { useTestFolder } from '../support/folders.ts';

interface Service {
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
}

const compose = parse(readFileSync('deploy/compose.yaml', 'utf8')) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};

/** The content of a secret's file, by the end of its name. */
const SECRETS = {
  'database-url': 'postgres://user:password@host:5432/billing',
  'heartbeat-url': 'https://monitor.example.com/ping',
  'notify-url': 'https://hooks.example.com/usage',
  token: 'eyJ.some-long-token',
};

const folder = useTestFolder();
for (const [name, text] of Object.entries(SECRETS)) writeFileSync(join(folder, name), text);

/** Throws with all problems of the settings. Their secrets are replaced by files that exist. */
function assertAccepted(env: Readonly<Record<string, string>>, needs: readonly ('losant' | 'database')[]): void {
  const texts = Object.entries(env).map(([name, text]) => {
    const secret = Object.keys(SECRETS).find((each) => text.endsWith(each));
    return [name, name.endsWith('_FILE') && secret !== undefined ? join(folder, secret) : text];
  });
  readConfig({ env: Object.fromEntries(texts), needs });
}

/** Parses `name=text` lines, with quotes like a shell and systemd. */
function readLines(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => /^[A-Z_]+=/.test(line));
  return Object.fromEntries(
    lines.map((line) => {
      const index = line.indexOf('=');
      return [line.slice(0, index), line.slice(index + 1).replaceAll(/^"|"$/g, '')];
    }),
  );
}

const ALL = ['losant', 'database'] as const;

test.each([
  ['worker', { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' }, ALL],
  ['migrate', {}, ['database']],
  ['billing', {}, ['database']],
] as const)('the program accepts the settings of %s in compose.yaml', (name, more, needs) => {
  assertAccepted({ ...compose.services[name]?.environment, ...more }, needs);
});

test('compose.yaml gives each service the secrets of its settings, and one database login', () => {
  const logins = Object.entries(compose.services).flatMap(([name, { environment = {}, secrets = [] }]) => {
    const paths = Object.values(environment).filter((text) => text.startsWith('/run/secrets/'));
    expect(secrets).toEqual(expect.arrayContaining(paths.map((path) => path.slice('/run/secrets/'.length))));
    return secrets.filter((secret) => secret.endsWith('database-url')).map((secret) => [name, secret]);
  });
  const roles = { migrate: 'migrator', worker: 'writer', billing: 'writer' };
  expect(logins).toEqual(Object.entries(roles).map(([name, role]) => [name, `${role}-database-url`]));
  for (const [name, { file }] of Object.entries(compose.secrets)) expect(file).toBe(`./secrets/${name}`);
  expect(readFileSync('deploy/secrets/.gitignore', 'utf8')).toMatch(/^\*$/m);
});

const SYSTEMD_ENV = readFileSync('deploy/systemd/losant-usage.env.example', 'utf8');
test.each([
  ['as shipped', SYSTEMD_ENV],
  ['with its optional settings', SYSTEMD_ENV.replaceAll(/^#(?=[A-Z_]+=)/gm, '')],
])('the program accepts the settings of systemd, %s', (_, text) => assertAccepted(readLines(text), ALL));

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
  ['base/worker.yaml', 'Deployment', ALL],
  ['jobs/backfill.yaml', 'Job', ALL],
  ['jobs/migrate.yaml', 'Job', ['database']],
] as const)('the program accepts the settings of Kubernetes in %s', (file, kind, needs) => {
  const shared = parse(readFileSync('deploy/kubernetes/base/settings.yaml', 'utf8')) as Pod;
  const documents = parseAllDocuments(readFileSync(`deploy/kubernetes/${file}`, 'utf8'));
  const pod = documents.map((each) => each.toJS() as Pod).find((each) => each.kind === kind);
  const [container] = pod?.spec?.template.spec.containers ?? [];
  const env = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
  assertAccepted({ ...(needs === ALL ? shared.data : {}), ...env }, needs);
});
