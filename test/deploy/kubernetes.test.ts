/**
 * The Kubernetes files against schemas written from the documented API, strict: a field that is misspelt or in the wrong
 * place fails here. They have the fields that these files use, not all that there are.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const FOLDER = 'deploy/kubernetes';

/** A name of an object: a DNS label. */
const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const labels = z.record(z.string().regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9._-]{1,63}$/), z.string().max(63));
const quantity = z.string().regex(/^\d+(m|Ki|Mi|Gi)?$/);
const port = z.union([name, z.int().min(1).max(65_535)]);
const selector = z.strictObject({ matchLabels: labels });
const metadata = z.strictObject({ name, labels: labels.optional() });
const generated = z.strictObject({ generateName: z.string().regex(/^[a-z0-9][a-z0-9-]*-$/), labels });

const probe = z.strictObject({
  httpGet: z.strictObject({ path: z.string().startsWith('/'), port }),
  periodSeconds: z.int().min(1),
  timeoutSeconds: z.int().min(1).optional(),
  failureThreshold: z.int().min(1).optional(),
});

const container = z.strictObject({
  name,
  image: z.string(),
  args: z.array(z.string()),
  envFrom: z.array(z.strictObject({ configMapRef: z.strictObject({ name }) })).optional(),
  env: z.array(z.strictObject({ name: z.string().regex(/^[A-Z_]+$/), value: z.string() })),
  ports: z.array(z.strictObject({ name, containerPort: z.int() })).optional(),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  resources: z.strictObject({
    requests: z.strictObject({ cpu: quantity, memory: quantity }),
    limits: z.strictObject({ memory: quantity }),
  }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  volumeMounts: z.array(
    z.strictObject({ name, mountPath: z.string().startsWith('/'), readOnly: z.boolean() }),
  ),
});

const pod = z.strictObject({
  metadata: z.strictObject({ labels }),
  spec: z.strictObject({
    restartPolicy: z.enum(['Always', 'OnFailure', 'Never']).optional(),
    enableServiceLinks: z.boolean(),
    automountServiceAccountToken: z.boolean(),
    terminationGracePeriodSeconds: z.int().optional(),
    securityContext: z.strictObject({
      runAsNonRoot: z.boolean(),
      runAsUser: z.int(),
      runAsGroup: z.int(),
      fsGroup: z.int(),
      seccompProfile: z.strictObject({ type: z.enum(['RuntimeDefault', 'Unconfined', 'Localhost']) }),
    }),
    containers: z.array(container).length(1),
    volumes: z.array(
      z.strictObject({
        name,
        secret: z.strictObject({ secretName: name, defaultMode: z.int().min(0).max(0o777) }),
      }),
    ),
  }),
});

const job = z.strictObject({
  completionMode: z.enum(['NonIndexed', 'Indexed']).optional(),
  completions: z.int().optional(),
  parallelism: z.int().optional(),
  backoffLimit: z.int().min(0).optional(),
  backoffLimitPerIndex: z.int().min(0).optional(),
  activeDeadlineSeconds: z.int().min(1).optional(),
  ttlSecondsAfterFinished: z.int().min(0).optional(),
  podFailurePolicy: z
    .strictObject({
      rules: z.array(
        z.union([
          z.strictObject({
            action: z.enum(['Ignore', 'FailJob', 'FailIndex', 'Count']),
            // Both are required by the API.
            onPodConditions: z.array(
              z.strictObject({ type: z.string(), status: z.enum(['True', 'False', 'Unknown']) }),
            ),
          }),
          z.strictObject({
            action: z.enum(['Ignore', 'FailJob', 'FailIndex', 'Count']),
            onExitCodes: z.strictObject({
              containerName: name,
              operator: z.enum(['In', 'NotIn']),
              values: z.array(z.int().min(1).max(255)),
            }),
          }),
        ]),
      ),
    })
    .optional(),
  template: pod,
});

const networkPort = z.strictObject({ protocol: z.enum(['TCP', 'UDP', 'SCTP']), port });

const kustomization = <K extends string>(kind: K, version: string) =>
  z.strictObject({
    apiVersion: z.literal(`kustomize.config.k8s.io/${version}`),
    kind: z.literal(kind),
    namespace: name.optional(),
    resources: z.array(z.string()),
    components: z.array(z.string()).optional(),
    images: z.array(z.strictObject({ name: z.string(), newName: z.string(), newTag: z.string() })).optional(),
    replicas: z.array(z.strictObject({ name, count: z.int() })).optional(),
    patches: z.array(z.strictObject({ patch: z.string() })).optional(),
  });

const manifest = z.discriminatedUnion('kind', [
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('ConfigMap'),
    metadata,
    data: z.record(z.string(), z.string()),
  }),
  z.strictObject({
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('Deployment'),
    metadata,
    spec: z.strictObject({ replicas: z.int(), selector, template: pod }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Service'),
    metadata,
    spec: z.strictObject({
      selector: labels,
      ports: z.array(z.strictObject({ name, port: z.int(), targetPort: port })),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('batch/v1'),
    kind: z.literal('CronJob'),
    metadata,
    spec: z.strictObject({
      schedule: z.string(),
      timeZone: z.string(),
      concurrencyPolicy: z.enum(['Allow', 'Forbid', 'Replace']),
      startingDeadlineSeconds: z.int(),
      successfulJobsHistoryLimit: z.int(),
      failedJobsHistoryLimit: z.int(),
      jobTemplate: z.strictObject({ spec: job }),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('batch/v1'),
    kind: z.literal('Job'),
    metadata: generated,
    spec: job,
  }),
  z.strictObject({
    apiVersion: z.literal('networking.k8s.io/v1'),
    kind: z.literal('NetworkPolicy'),
    metadata,
    spec: z.strictObject({
      podSelector: selector,
      policyTypes: z.array(z.enum(['Ingress', 'Egress'])),
      ingress: z.array(
        z.strictObject({
          from: z.array(z.strictObject({ namespaceSelector: selector })),
          ports: z.array(networkPort),
        }),
      ),
      egress: z.array(z.strictObject({ ports: z.array(networkPort) })),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('monitoring.coreos.com/v1'),
    kind: z.literal('PodMonitor'),
    metadata,
    spec: z.strictObject({
      selector,
      podMetricsEndpoints: z.array(
        z.strictObject({
          port: name,
          path: z.string(),
          interval: z.string().regex(/^\d+[sm]$/),
          authorization: z.strictObject({
            type: z.literal('Bearer'),
            credentials: z.strictObject({ name, key: z.string() }),
          }),
        }),
      ),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('monitoring.coreos.com/v1'),
    kind: z.literal('PrometheusRule'),
    metadata,
    spec: z.strictObject({
      groups: z.array(
        z.strictObject({
          name: z.string(),
          rules: z.array(
            z.strictObject({
              alert: z.string(),
              expr: z.string(),
              for: z
                .string()
                .regex(/^\d+[smhd]$/)
                .optional(),
              labels: z.record(z.string(), z.string()),
              annotations: z.record(z.string(), z.string()),
            }),
          ),
        }),
      ),
    }),
  }),
  kustomization('Kustomization', 'v1beta1'),
  kustomization('Component', 'v1alpha1'),
]);

type Manifest = z.infer<typeof manifest>;

const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.yaml'),
);
const parsed = files.toSorted().flatMap((file) =>
  parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map((document) => ({
    file,
    value: document.toJS() as unknown,
  })),
);
const all = parsed.flatMap(({ file, value }) => {
  const { data } = manifest.safeParse(value);
  return data === undefined ? [] : [{ file, data }];
});
const ofKind = <K extends Manifest['kind']>(kind: K) =>
  all.flatMap(({ file, data }) =>
    data.kind === kind ? [{ file, data: data as Extract<Manifest, { kind: K }> }] : [],
  );

test.each(parsed.map(({ file, value }) => [file, (value as { kind: string }).kind, value]))(
  '%s: the %s has only fields that the API has, where it has them',
  (_, __, value) => {
    expect(manifest.safeParse(value).error?.issues ?? []).toEqual([]);
  },
);

const pods = [
  ...ofKind('Deployment').map(({ file, data }) => ({ file, pod: data.spec.template })),
  ...ofKind('CronJob').map(({ file, data }) => ({ file, pod: data.spec.jobTemplate.spec.template })),
  ...ofKind('Job').map(({ file, data }) => ({ file, pod: data.spec.template })),
];

describe('what a file refers to is there', () => {
  test('settings in settings.yaml, and secrets that docs/operations.md makes', () => {
    const settings = ofKind('ConfigMap').map(({ file, data }) => [file, data.metadata.name]);
    expect(settings).toEqual([['settings.yaml', 'losant-usage']]);
    const named = pods.flatMap(
      ({ pod: { spec } }) => spec.containers[0]?.envFrom?.map((each) => each.configMapRef.name) ?? [],
    );
    expect(new Set(named)).toEqual(new Set(['losant-usage']));
    const operations = readFileSync('docs/operations.md', 'utf8');
    const secrets = new Set(
      pods.flatMap(({ pod: { spec } }) => spec.volumes.map(({ secret }) => secret.secretName)),
    );
    for (const secret of secrets) expect(operations).toContain(`kubectl create secret generic ${secret} `);
  });

  test('pods behind each selector, with the port that is named', () => {
    const worker = pods.find(({ file }) => file === 'worker.yaml')?.pod;
    const selectors = [
      ...ofKind('Deployment').map(({ data }) => data.spec.selector.matchLabels),
      ...ofKind('Service').map(({ data }) => data.spec.selector),
      ...ofKind('PodMonitor').map(({ data }) => data.spec.selector.matchLabels),
    ];
    expect(selectors).toHaveLength(3);
    for (const each of selectors) expect(worker?.metadata.labels).toMatchObject(each);
    expect(worker?.spec.containers[0]?.ports).toEqual([{ name: 'http', containerPort: 9464 }]);
    expect(ofKind('PodMonitor')[0]?.data.spec.podMetricsEndpoints[0]).toMatchObject({
      port: 'http',
      path: '/metrics',
    });
    // The network policy is for every pod, with the ports of Losant, Postgres and names.
    for (const { pod: each } of pods) {
      expect(each.metadata.labels).toMatchObject(
        ofKind('NetworkPolicy')[0]?.data.spec.podSelector.matchLabels ?? {},
      );
    }
  });

  test('files and folders of each kustomization, and the image that an overlay replaces', () => {
    const kustomizations = [...ofKind('Kustomization'), ...ofKind('Component')];
    const missing = kustomizations.flatMap(({ file, data }) =>
      [...data.resources, ...(data.components ?? [])]
        .map((each) => join(FOLDER, dirname(file), each))
        .filter((path) => !existsSync(path.endsWith('.yaml') ? path : join(path, 'kustomization.yaml'))),
    );
    expect(missing).toEqual([]);
    const images = new Set(pods.map(({ pod: { spec } }) => spec.containers[0]?.image.split(':')[0]));
    expect(images).toEqual(new Set(['losant-usage']));
    const overlay = kustomizations.find(({ file }) => file.startsWith('overlays'))?.data;
    expect(overlay?.images?.map((each) => each.name)).toEqual(['losant-usage']);
    expect(
      overlay?.patches?.map(({ patch }) => manifest.safeParse(parseAllDocuments(patch)[0]?.toJS()).success),
    ).toEqual([true]);
  });
});

test('the rules for the Prometheus operator are the alerts, as deploy/prometheus/alerts.yml has them', async () => {
  const alerts = readFileSync('deploy/prometheus/alerts.yml', 'utf8');
  const groups = alerts.slice(alerts.indexOf('groups:')).replaceAll(/^(?=.)/gm, '  ');
  const text = `# The alerts of deploy/prometheus/alerts.yml, in the form that the Prometheus operator takes. Change them there, and
# write this file anew: vitest run test/deploy/kubernetes.test.ts --update
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: losant-usage
  labels: { app.kubernetes.io/name: losant-usage }
spec:
${groups}`;
  await expect(text).toMatchFileSnapshot('../../deploy/kubernetes/monitoring/prometheus-rule.yaml');
});
