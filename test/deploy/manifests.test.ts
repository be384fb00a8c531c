import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../../src/settings/config.ts';

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

interface ComposeService {
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
  readonly read_only?: boolean;
  readonly ports?: readonly string[];
  readonly logging?: unknown;
  readonly healthcheck?: { readonly test: unknown };
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly resources: { readonly limits: { readonly memory: string } };
  readonly securityContext: unknown;
  readonly volumeMounts: readonly { readonly mountPath: string; readonly subPath?: string }[];
}

interface PodSpec {
  readonly enableServiceLinks: boolean;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly restartPolicy?: string;
  readonly securityContext: unknown;
  readonly containers: readonly [Container];
}

interface PodTemplate {
  readonly template: { readonly spec: PodSpec };
}

interface IndexedJob {
  readonly completionMode: string;
  readonly completions: number;
  readonly parallelism: number;
  readonly backoffLimitPerIndex: number;
}

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: PodTemplate &
    Partial<IndexedJob> & { readonly jobTemplate?: { readonly spec: PodTemplate } };
}

/** Every file that a manifest names holds this: what a secret of its kind looks like. */
function readSecret(path: string) {
  const isDatabase = path.endsWith('database-url');
  const isHeartbeat = path.endsWith('heartbeat-url');
  const text = isDatabase ? 'postgres://user:password@host:5432/billing' : 'eyJ.some-long-token';
  return { text: isHeartbeat ? 'https://monitor.example.com/ping' : text, mode: 0o440 };
}

/** The configuration the program takes from this environment; throws with every problem. */
function configOf(env: Readonly<Record<string, string>>, isMigrate = false) {
  const needs = isMigrate ? (['database'] as const) : (['losant', 'database'] as const);
  return readConfig({ env, configFile: null, needs, readFile: readSecret });
}

const compose = parse(readFileSync('deploy/compose.yaml', 'utf8')) as Compose;

function service(name: string): ComposeService {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
}

describe('deploy/compose.yaml', () => {
  test('gives worker and migration settings that the program takes, each with a login of its own', () => {
    const id = '575ec8687ae143cd83dc4a97';
    const worker = { ...service('worker').environment, LOSANT_INSTANCE_ID: id };
    expect(configOf(worker).instances.map(({ instanceId }) => instanceId)).toEqual([id]);
    configOf(service('migrate').environment ?? {}, true);
    expect(service('worker').environment?.['DATABASE_URL_FILE']).toBe('/run/secrets/writer-database-url');
    expect(service('migrate').environment?.['DATABASE_URL_FILE']).toBe('/run/secrets/migrator-database-url');
    configOf(service('billing').environment ?? {}, true);
    expect(service('billing').environment).toEqual({ DATABASE_URL_FILE: '/run/secrets/closer-database-url' });
  });

  test('hands out each secret by file, only to who needs it', () => {
    for (const [name, { environment = {}, secrets = [] }] of Object.entries(compose.services)) {
      const files = Object.values(environment).filter((text) => text.startsWith('/run/secrets/'));
      expect([name, secrets.filter((each) => !(each in compose.secrets))]).toEqual([name, []]);
      expect(secrets).toEqual(
        expect.arrayContaining(files.map((file) => file.slice('/run/secrets/'.length))),
      );
    }
    expect(service('worker').secrets).toEqual(['losant-token', 'writer-database-url', 'http-token']);
    const files = Object.entries(compose.secrets).filter(([name, { file }]) => file !== `./secrets/${name}`);
    expect(files).toEqual([]);
    expect(readFileSync('deploy/secrets/.gitignore', 'utf8')).toMatch(/^\*$/m);
  });

  test('starts the worker after the migration, and the migration after the database', () => {
    expect(service('migrate').depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
    expect(service('worker').depends_on).toEqual({
      migrate: { condition: 'service_completed_successfully' },
    });
  });

  test('leaves the worker the time to end, no file to write, and a port on this machine only', () => {
    const { stop_grace_period, read_only, ports } = service('worker');
    expect({ stop_grace_period, read_only, ports }).toEqual({
      stop_grace_period: '30s',
      read_only: true,
      ports: ['127.0.0.1:9464:9464'],
    });
  });

  test('bounds every log, and looks after the worker whatever became of the image', () => {
    const names = Object.keys(compose.services);
    expect(names).toEqual(['postgres', 'migrate', 'worker', 'billing', 'backup']);
    for (const name of names) {
      expect([name, service(name).logging]).toEqual([
        name,
        { driver: 'local', options: { 'max-size': '10m', 'max-file': '5' } },
      ]);
    }
    const image = /^ {2}CMD (\[.*\])$/m.exec(readFileSync('Dockerfile', 'utf8'))?.[1] ?? '[]';
    const asInImage = (JSON.parse(image) as string[]).map((part) =>
      part.replace(/' \+ \(.*?\) \+ '/, '9464'),
    );
    expect(service('worker').healthcheck?.test).toEqual(['CMD', ...asInImage]);
  });

  test('backs up as the documentation says, into a volume, under a name that a dump gets once it is complete', () => {
    const { command, volumes, profiles } = service('backup');
    const line =
      /^pg_dump (.*?) --file=\S+ billing$/m.exec(readFileSync('docs/operations.md', 'utf8'))?.[1] ?? '';
    const script = String(command?.[0]).replaceAll(/\\\n\s*/g, '');
    for (const option of line.split(' ')) expect(script).toContain(option);
    expect(script).toMatch(/--file=\$\$file\.partial billing\nmv \$\$file\.partial \$\$file\n/);
    expect({ volumes, profiles }).toEqual({ volumes: ['backups:/backups'], profiles: ['backup'] });
  });

  test('takes a settings file for several instances from a second file, which the program takes', () => {
    const tags = [{ tag: '!reset', resolve: () => null }];
    const over = (
      parse(readFileSync('deploy/compose.instances.yaml', 'utf8'), { customTags: tags }) as Compose
    ).services['worker'];
    const env = { ...service('worker').environment, ...over?.environment };
    const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== null));
    expect(over?.volumes).toEqual([`./losant-usage.yaml:${set['LOSANT_USAGE_CONFIG']}:ro`]);
    const text = `instances:
  - { id: 575ec8687ae143cd83dc4a97, tokenFile: /run/secrets/losant-token-eu }
  - { id: 5f3a0b6c2d7e4f0006a1b2c3, tokenFile: /run/secrets/losant-token-us }`;
    const readFile = (path: string) =>
      path === set['LOSANT_USAGE_CONFIG'] ? { text, mode: 0o640 } : readSecret(path);
    const config = readConfig({ env: set, configFile: null, needs: ['losant', 'database'], readFile });
    expect(config.instances).toHaveLength(2);
  });

  test('mounts only files that exist', () => {
    const files = Object.values(compose.services).flatMap(({ volumes = [] }) =>
      volumes.map((volume) => volume.split(':')[0] ?? '').filter((source) => source.startsWith('.')),
    );
    expect(files).toHaveLength(2);
    expect(files.filter((file) => !existsSync(join('deploy', file)))).toEqual([]);
  });
});

const manifests = ['settings', 'worker', 'cronjob', 'migrate', 'backfill'].flatMap((name) =>
  parseAllDocuments(readFileSync(`deploy/kubernetes/${name}.yaml`, 'utf8')).map(
    (document) => document.toJS() as Manifest,
  ),
);
const settings = manifests.find(({ kind }) => kind === 'ConfigMap')?.data ?? {};
const pods = manifests
  .filter(({ kind }) => ['Deployment', 'CronJob', 'Job'].includes(kind))
  .map(({ kind, spec }) => [kind, (spec.jobTemplate?.spec ?? spec).template.spec] as const);

test('the Kubernetes manifests are a worker, a scheduled run, a migration and a backfill in parts', () => {
  expect(manifests.map(({ kind }) => kind)).toEqual([
    ...['ConfigMap', 'Deployment', 'Service', 'CronJob', 'Job', 'Job'],
  ]);
  const dates = ['--from=2026-09-01', '--to=2026-11-23'];
  expect(pods.map(([kind, { containers }]) => [kind, containers[0].args])).toEqual([
    ['Deployment', ['worker']],
    ['CronJob', ['run', '--json']],
    ['Job', ['migrate']],
    ['Job', ['backfill', ...dates, '--shard=$(JOB_COMPLETION_INDEX)/4', '--json']],
  ]);
});

test('the backfill has a pod for each part, and each part is tried again by itself', () => {
  const { completionMode, completions, parallelism, backoffLimitPerIndex, template } =
    manifests.at(-1)?.spec ?? {};
  expect({ completionMode, completions, parallelism, backoffLimitPerIndex }).toEqual({
    completionMode: 'Indexed',
    completions: 4,
    parallelism: 4,
    backoffLimitPerIndex: 5,
  });
  expect(template?.spec.restartPolicy).toBe('Never');
});

describe.each(pods)('the pod of the Kubernetes %s', (_, pod) => {
  test('has settings that the program takes, without the variables of services', () => {
    const [{ args, env }] = pod.containers;
    const own = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    configOf(args[0] === 'migrate' ? own : { ...settings, ...own }, args[0] === 'migrate');
    expect(pod.enableServiceLinks).toBe(false);
  });

  test('has no root, no capability, no writable file system, no token of the cluster and a bound on memory', () => {
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      fsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    const [{ securityContext, resources }] = pod.containers;
    expect(securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(resources.limits.memory).toBe('512Mi');
  });

  test('mounts its secrets as a folder, so that a replaced token arrives', () => {
    const [{ volumeMounts, env }] = pod.containers;
    expect(volumeMounts).toEqual([
      { name: 'secrets', mountPath: '/run/secrets/losant-usage', readOnly: true },
    ]);
    const named = env.map(({ value }) => value).filter((value) => value.startsWith('/'));
    expect(named.filter((path) => !path.startsWith('/run/secrets/losant-usage/'))).toEqual([]);
    const [{ args }] = pod.containers;
    const files = { worker: 3, run: 2, migrate: 1, backfill: 2 }[args[0] ?? ''];
    expect([args[0], named.length]).toEqual([args[0], files]);
  });
});

test.each(['as it is', 'with every line switched on'])(
  'the environment file of the systemd unit, %s, is taken by the program',
  (variant) => {
    const lines = readFileSync('deploy/systemd/losant-usage.env.example', 'utf8')
      .split('\n')
      .map((line) => (variant === 'as it is' ? line : line.replace(/^#(?=[A-Z_]+=)/, '')))
      .filter((line) => /^[A-Z_]+=/.test(line));
    const env = Object.fromEntries(lines.map((line) => line.split('=', 2) as [string, string]));
    expect(configOf(env).instances).toHaveLength(1);
    expect(Object.keys(env)).toHaveLength(variant === 'as it is' ? 3 : 8);
  },
);
