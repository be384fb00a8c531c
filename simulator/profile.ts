import { fraction, hashText, mix } from './hash.ts';

/** A payload type and source that an organization uses. */
export interface SourceProfile {
  readonly type: string;
  readonly source: string;
  readonly billable: boolean;
  /** The share of the organization's volume. */
  readonly weight: number;
  readonly bytesEach: number;
  /** Whether it occurs only on some days. */
  readonly sporadic: boolean;
}

/** The parameters of an organization's usage, which never change after its creation. */
export interface UsageProfile {
  readonly salt: number;
  /** The first day with usage. */
  readonly createdDay: number;
  /** Whether it has no usage. */
  readonly idle: boolean;
  /** Whether some days have no payloads and no notebook runs. */
  readonly hasIdleDays: boolean;
  /** Whether its bytes reach 2^53 − 1 on some days. */
  readonly maximal: boolean;
  readonly devices: number;
  /** The yearly change of devices and volume, as a share. */
  readonly growth: number;
  readonly payloadsPerDay: number;
  readonly notebookRunsPerDay: number;
  readonly sources: readonly SourceProfile[];
}

/** Types and sources of live bodies, and whether they are billable. The last one is in no published list. */
const KNOWN_SOURCES: readonly (readonly [string, string, boolean])[] = [
  ['deviceConnect', 'device.mqtt', false],
  ['deviceState', 'device.mqtt', true],
  ['deviceDisconnect', 'device.mqtt', false],
  ['deviceState', 'flow.flow', true],
  ['webhook', 'public.rest', true],
  ['timer', 'timer.flow', true],
  ['deviceCommand', 'flow.flow', true],
  ['endpoint', 'public.rest', true],
  ['event', 'flow.flow', true],
  ['mqttIn', 'device.mqtt', true],
  ['mqttOut', 'flow.flow', true],
  ['integration', 'integration.flow', true],
  ['dataTable', 'flow.flow', true],
  ['notebook', 'notebook.flow', true],
  ['inboundEmail', 'public.email', true],
  ['virtualButton', 'user.flow', false],
  ['flowError', 'flow.flow', false],
  ['deviceCreate', 'public.rest', true],
  ['appFile', 'user.rest', true],
  ['resourceJob', 'job.flow', true],
  ['edgeTelemetry', 'edge.agent-2', true],
];

type Traits = Pick<UsageProfile, 'createdDay' | 'idle' | 'maximal'>;

/** Creates the profile of an organization. `size` is from 0 (tiny) to 1 (largest); by default from the seed. */
export function createProfile(
  seed: string,
  key: string,
  { size: requestedSize, ...traits }: Traits & { readonly size: number | undefined },
): UsageProfile {
  const salt = hashText(`${seed}|usage|${key}`);
  const size = requestedSize ?? fraction(salt, 1);
  return {
    ...traits,
    salt,
    hasIdleDays: !traits.maximal && mix(salt, 2) % 3 === 0,
    devices: Math.max(1, Math.floor(10 ** (0.3 + 4 * size))),
    growth: fraction(salt, 3) * 1.1 - 0.2,
    payloadsPerDay: 10 ** (1 + 5.5 * size),
    notebookRunsPerDay: mix(salt, 4) % 5 < 2 ? 0 : 1 + 60 * size * fraction(salt, 5),
    sources: chooseSources(salt, traits.maximal),
  };
}

/** Chooses the first three sources and up to eight of the others. */
function chooseSources(salt: number, maximal: boolean): SourceProfile[] {
  const others = KNOWN_SOURCES.slice(3)
    .map((entry, i) => ({ entry, order: mix(salt, 100 + i) }))
    .sort((a, b) => a.order - b.order)
    .slice(0, mix(salt, 6) % 9);
  const selection = [...KNOWN_SOURCES.slice(0, 3), ...others.map(({ entry }) => entry)];
  return selection.map(([type, source, billable], i) => ({
    type,
    source,
    billable,
    weight: i === 1 ? 0.6 : 0.02 + 0.1 * fraction(salt, 200 + i),
    bytesEach: maximal ? 2 ** 22 : 400 + (mix(salt, 300 + i) % 4000),
    sporadic: i > 3 && mix(salt, 400 + i) % 3 === 0,
  }));
}
