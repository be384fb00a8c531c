import type { LosantClient } from '../losant/client.ts';
import { getOrg } from '../losant/orgs.ts';
import { fetchUsage } from '../losant/usage.ts';
import type { UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { DayReading, Fact, Stream } from '../usage/streams/stream.ts';
import { CheckError, type Finding, type Outcome, outcomeOf } from './check-list.ts';

/** The name of the comparison, which is no question of its own. */
export const RECONCILE = 'reconcile';

/** An organization, and what to ask for. */
export interface OrgTarget {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly orgId: string;
  readonly streams: readonly string[];
  readonly day: UsageDay;
  readonly signal: AbortSignal;
}

/** What became of one question. */
export interface OrgReport {
  readonly name: string;
  readonly outcome: Outcome<Finding<DayReading | null>>;
}

/** Asks for the organization and for its usage of the day, as a run does. Throws only when interrupted. */
export async function checkOrg(target: OrgTarget): Promise<OrgReport[]> {
  const { client, streams, signal } = target;
  const found = await outcomeOf(signal, async () => {
    const { name } = await getOrg(client, target);
    return { message: `organization ${target.orgId}, ${name}`, value: null };
  });
  const reports: OrgReport[] = [{ name: 'instanceOrg.get', outcome: found }];
  const readings = new Map<string, DayReading | null>();
  for (const stream of streams.map(streamNamed)) {
    const name = `instanceOrg.${stream.requests[0]?.action ?? stream.name}`;
    const outcome = await outcomeOf(signal, () => readDay(stream, target));
    reports.push({ name, outcome });
    if (outcome.ok) readings.set(stream.name, outcome.value.value);
  }
  const comparison = comparePayloads(readings, target);
  if (comparison) reports.push({ name: RECONCILE, outcome: { ok: true, value: comparison } });
  return reports;
}

async function readDay(stream: Stream, target: OrgTarget): Promise<Finding<DayReading | null>> {
  const { day } = target;
  const window = { from: day, to: day };
  const bodies: unknown[] = [];
  for (const request of stream.requests) {
    const { body } = await fetchUsage(target.client, { ...target, ...request, window });
    bodies.push(body);
  }
  const reading = readBodies(stream, bodies, target);
  if (reading === undefined) return { message: `${day}: no numbers for the day`, value: null };
  if (reading.kind === 'quarantined') throw notAccepted(`${day}: ${reading.message}`);
  return { message: `${day}: ${describe(stream, reading)}`, value: reading };
}

function readBodies(stream: Stream, bodies: readonly unknown[], { day }: OrgTarget): DayReading | undefined {
  try {
    return stream.readBodies(bodies, { from: day, to: day }).days.get(day);
  } catch (error) {
    throw notAccepted(error instanceof Error ? error.message : String(error));
  }
}

function notAccepted(problem: string): CheckError {
  const hint =
    'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself';
  return new CheckError('invalid', problem, hint);
}

function describe({ columns, keyColumns }: Stream, { facts }: DayReading & { kind: 'values' }): string {
  if (keyColumns.length > 0) return `${sumFirst(facts)} in ${facts.length} rows`;
  return columns.map((column, index) => `${column} ${facts[0]?.values[index]}`).join(', ');
}

/** None for a day that was left out: nothing happened, as far as Losant says. */
function factsOf(reading: DayReading | null): readonly Fact[] {
  return reading?.kind === 'values' ? reading.facts : [];
}

function sumFirst(facts: readonly Fact[]): number {
  return facts.reduce((sum, { values }) => sum + (values[0] ?? 0), 0);
}

/** The same payloads asked for in two ways. Not documented to be equal, so a difference is shown and no failure. */
function comparePayloads(
  readings: ReadonlyMap<string, DayReading | null>,
  { orgId, day }: OrgTarget,
): Finding<null> | null {
  const totals = readings.get('payload_totals');
  const sources = readings.get('payload_sources');
  if (totals === undefined || sources === undefined) return null;
  const [billable = 0, all = 0] = factsOf(totals)[0]?.values ?? [];
  const sum = sumFirst(factsOf(sources));
  const where = `organization ${orgId}, ${day}`;
  if (sum === all) {
    return { message: `${where}: payloads by source add up to all payloads, ${sum}`, value: null };
  }
  return {
    message: `${where}: payloads by source add up to ${sum}, all payloads are ${all}, billable ones ${billable}`,
    hint: 'decide which of them you bill; both are stored, in payload_sources and payload_totals',
    value: null,
  };
}
