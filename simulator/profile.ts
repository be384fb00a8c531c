import { fraction, hashText, mix } from './hash.ts';

/** A (payload type, source) pair that an organization sends. */
export interface SourceProfile {
  readonly type: string;
  readonly source: string;
  readonly billable: boolean;
  /** The share of the organization's volume. */
  readonly weight: number;
  readonly bytesEach: number;
  /** Whether it is seen only on some days. */
  readonly sporadic: boolean;
}

/** The parameters of an organization's usage, which never change after its creation. */
export interface UsageProfile {
  readonly salt: number;
  /** The first UTC day with usage, as a day number. */
  readonly createdDay: number;
  /** Whether it never used anything. */
  readonly idle: boolean;
  /** Whether some days have no payload and no notebook run. */
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

/** Types and sources as live bodies have them, and whether they are billed; the last is in no published list. */
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

/** Returns the profile of an organization; `size` is from 0, tiny, to 1, largest, or from the seed. */
export function profileFor(
  seed: string,
  key: string,
  { size: givenSize, ...traits }: Traits & { readonly size: number | undefined },
): UsageProfile {
  const salt = hashText(`${seed}|usage|${key}`);
  const size = givenSize ?? fraction(salt, 1);
  return {
    ...traits,
    salt,
    hasIdleDays: !traits.maximal && mix(salt, 2) % 3 === 0,
    devices: Math.max(1, Math.floor(10 ** (0.3 + 4 * size))),
    growth: fraction(salt, 3) * 1.1 - 0.2,
    payloadsPerDay: 10 ** (1 + 5.5 * size),
    notebookRunsPerDay: mix(salt, 4) % 5 < 2 ? 0 : 1 + 60 * size * fraction(salt, 5),
    sources: sourcesFor(salt, traits.maximal),
  };
}

/** Returns the first three sources, and up to eight of the others. */
function sourcesFor(salt: number, maximal: boolean): SourceProfile[] {
  const others = KNOWN_SOURCES.slice(3)
    .map((entry, i) => ({ entry, order: mix(salt, 100 + i) }))
    .sort((a, b) => a.order - b.order)
    .slice(0, mix(salt, 6) % 9);
  const chosen = [...KNOWN_SOURCES.slice(0, 3), ...others.map(({ entry }) => entry)];
  return chosen.map(([type, source, billable], i) => ({
    type,
    source,
    billable,
    weight: i === 1 ? 0.6 : 0.02 + 0.1 * fraction(salt, 200 + i),
    bytesEach: maximal ? 2 ** 22 : 400 + (mix(salt, 300 + i) % 4000),
    sporadic: i > 3 && mix(salt, 400 + i) % 3 === 0,
  }));
}
