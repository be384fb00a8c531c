/** Builds the folders of deploy/kubernetes with kubectl, as an operator does. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { matching } from '../support/texts.ts';

interface PodSpec {
  readonly containers: readonly {
    readonly env: readonly { readonly name: string; readonly value: string }[];
    readonly volumeMounts: readonly { readonly mountPath: string; readonly subPath?: string }[];
  }[];
  readonly volumes: readonly { readonly secret: { readonly secretName: string } }[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string };
  readonly spec: { readonly template?: { readonly spec: PodSpec } };
}

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage kubernetes-'));
  // Without deploy/secrets, in which another test creates a file.
  for (const part of ['deploy/kubernetes', 'deploy/monitoring']) cpSync(part, join(folder, part), { recursive: true });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).map((each) => each.toJS() as Manifest);
}

function build(path: string): Manifest[] {
  const options = { cwd: folder, encoding: 'utf8', timeout: 60_000 } as const;
  return parseManifests(execFileSync('kubectl', ['kustomize', path], options));
}

function getOne(manifests: readonly Manifest[], kind: string): Manifest {
  const matches = manifests.filter((each) => each.kind === kind);
  if (matches.length !== 1 || matches[0] === undefined) throw new Error(`${matches.length} of ${kind}`);
  return matches[0];
}

test('the base builds a worker with its settings, its port and its network policy', () => {
  const base = build('deploy/kubernetes/base');
  const kinds = base.map(({ kind }) => kind).toSorted();
  expect(kinds).toEqual(['ConfigMap', 'Deployment', 'NetworkPolicy', 'Service']);
  const labels = { 'app.kubernetes.io/name': 'losant-usage' };
  const containers = [{ ports: [{ name: 'http' }] }];
  expect(getOne(base, 'Deployment').spec.template).toMatchObject({ metadata: { labels }, spec: { containers } });
  expect(getOne(base, 'Service').spec).toMatchObject({ selector: labels, ports: [{ targetPort: 'http' }] });
});

test('a copy of the overlay builds with its namespace, image, replicas and settings, and a PodMonitor if chosen', () => {
  const copy = 'deploy/kubernetes/overlays/production';
  cpSync('deploy/kubernetes/overlays/example', join(folder, copy), { recursive: true });
  const overlay = build(copy);
  expect(overlay.map(({ kind }) => kind)).not.toContain('PodMonitor');
  expect(new Set(overlay.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['billing']));
  const image = matching(/^images\.example\.com\/losant-usage:\d/);
  const template = { spec: { containers: [{ image }] } };
  expect(getOne(overlay, 'Deployment').spec).toMatchObject({ replicas: 2, template });
  const data = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' };
  expect(getOne(overlay, 'ConfigMap')).toMatchObject({ data });
  const file = join(folder, copy, 'kustomization.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/^# (?=components:|  - )/gm, ''));
  expect(getOne(build(copy), 'PodMonitor')).toMatchObject({ metadata: { name: 'losant-usage' } });
});

test.each(['base/worker.yaml', 'jobs/migrate.yaml', 'jobs/backfill.yaml'])(
  'the pod of %s is unprivileged, has a memory limit, and mounts secrets as folders, so that a new token arrives',
  (file) => {
    const manifests = parseManifests(readFileSync(`deploy/kubernetes/${file}`, 'utf8'));
    const pod = manifests.flatMap(({ spec }) => spec.template?.spec ?? [])[0] as PodSpec;
    const [container = { env: [], volumeMounts: [] }] = pod.containers;
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(container).toMatchObject({
      resources: { limits: { memory: '512Mi' } },
      securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    });
    const install = readFileSync('docs/install.md', 'utf8');
    for (const { secret } of pod.volumes) expect(install).toContain(`secret generic ${secret.secretName} `);
    const files = container.env.filter(({ name }) => name.endsWith('_FILE')).map(({ value }) => value);
    for (const { mountPath, subPath } of container.volumeMounts) {
      expect(subPath).toBeUndefined();
      expect(files.filter((path) => !path.startsWith(`${mountPath}/`))).toEqual([]);
    }
  },
);
