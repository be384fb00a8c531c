import { transform } from 'streaming-iterables';
import { LosantError } from '../errors.ts';
import { exitCodeOf, worstExitCode } from '../exit.ts';
import { requireApiClock } from '../export/context.ts';
import { requireApiUrl } from '../ledger/instances.ts';
import type { LosantClient } from '../losant/client.ts';
import { getInstance, getOrg, listOrgPages } from '../losant/orgs.ts';
import { fetchUsage } from '../losant/usage.ts';
import { readControlTotalProblems } from '../queries/reconciliation.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { UsageDay } from '../usage/day.ts';
import { isSelected, type OrgSelection } from '../usage/organization.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { DayReading, Fact, Stream } from '../usage/streams/stream.ts';
import { CheckError, type CheckList, type Finding, type Outcome, outcomeOf } from './check-list.ts';
import { type CheckedDatabase, showSkew } from './check-postgres.ts';
import type { CommandContext } from './command.ts';
import { openReading } from './org.ts';

export interface InstanceCheck {
  readonly instance: InstanceConfig;
  readonly database: CheckedDatabase;
  readonly list: CheckList;
  readonly allOrgs: boolean;
  /** Called with the number of organizations asked for so far, and the most there are. */
  readonly onOrg: (done: number, total: number) => void;
}

/** An instance and how to ask it, with the day to ask for. */
interface Asked {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly streams: readonly string[];
  readonly day: UsageDay;
  readonly signal: AbortSignal;
}

export interface OrgTarget extends Asked {
  readonly orgId: string;
}

/** The attempts per request, for brief failures only: a check that retries for minutes shows less. */
const ATTEMPTS = 2;

/** The bound on each question, even if Losant asks to wait. */
const QUESTION_MS = 60_000;

/** The number of organizations whose failure is shown; the others are only counted. */
const FAILURES_SHOWN = 10;

/** `checkInstance` checks what a run asks of Losant. Returns an organization to ask more about, or null. */
export async function checkInstance(
  context: CommandContext,
  { instance, database, list, allOrgs, onOrg }: InstanceCheck,
): Promise<OrgTarget | null> {
  const { instanceId, streams } = instance;
  let aheadMs: number | null = null;
  const opened = openReading(context, instance, {
    attempts: Math.min(ATTEMPTS, context.config.request.attempts),
    now: database.now,
    takesAnyTime: true,
    onClock: (ms) => {
      aheadMs = ms;
    },
  });
  const client = boundQuestions(opened);
  const { signal } = context;
  const asked = { client, instanceId, streams, day: lastCompleteDay(database.now()), signal };
  const found = await list.run('instance.get', async () => {
    const { name } = await getInstance(client, { instanceId, signal });
    return { message: `instance ${instanceId}${name === null ? '' : `, ${name}`}`, value: null };
  });
  await checkClock(list, aheadMs);
  await checkLedger(list, database, instance);
  if (isHopeless(found)) return null;
  const first = await checkList(list, asked, instance.orgs);
  if (instance.orgs.kind === 'all' && !first.ok) {
    const hint = 'name organizations in LOSANT_ORG_IDS, or fix the list error first';
    const notAsked = new CheckError('invalid', 'not asked: no organization is known', hint);
    list.fail('instanceOrg', notAsked, exitCodeOf(first.error));
    return null;
  }
  const orgId = instance.orgs.kind === 'ids' ? instance.orgs.orgIds[0] : first.ok && first.value;
  if (!orgId) return null;
  const target = { ...asked, orgId };
  if (allOrgs) await checkEveryOrg(list, asked, { instance, onOrg });
  else for (const { name, outcome } of await checkOrg(target)) list.add(name, outcome);
  return target;
}

function boundQuestions(client: LosantClient): LosantClient {
  return {
    get: async (request) => {
      const limit = AbortSignal.timeout(QUESTION_MS);
      try {
        return await client.get({ ...request, signal: AbortSignal.any([request.signal, limit]) });
      } catch (error) {
        if (!limit.aborted || request.signal.aborted) throw error;
        const hint = 'it is slow, or asks to wait: try again later, or lower REQUESTS_PER_SECOND';
        throw new CheckError('invalid', `${request.action}: no answer within ${QUESTION_MS / 1_000} s`, hint);
      }
    },
  };
}

async function checkClock(list: CheckList, aheadMs: number | null): Promise<void> {
  if (aheadMs === null) return;
  await list.run('clock.losant', () => {
    requireApiClock(aheadMs);
    return Promise.resolve({ message: `${showSkew(aheadMs)} the clock used here`, value: null });
  });
}

/** `checkLedger` compares the API's URL, and notes which of Losant's own totals cannot be read: no failure. */
async function checkLedger(
  list: CheckList,
  { handle, isAtHead }: CheckedDatabase,
  instance: InstanceConfig,
): Promise<void> {
  if (!handle || !isAtHead) return;
  await list.run('api_url', async () => {
    await requireApiUrl(handle.db, instance);
    return { message: 'the database has numbers of this API or none yet', value: null };
  });
  for (const { question, message } of await readControlTotalProblems(handle.db, [instance.instanceId])) {
    const hint =
      'losant-usage reconcile has nothing newer to compare with; numbers and runs are not affected';
    list.note('control totals', { message: `${question} not read: ${message}`, hint });
  }
}

/** `isHopeless` returns whether every further question would fail in the same way. */
function isHopeless(outcome: Outcome<unknown>): boolean {
  if (outcome.ok) return false;
  const { error } = outcome;
  return !(error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind));
}

/** `checkList` returns the first organization that is exported; null if Losant lists none. */
async function checkList(list: CheckList, asked: Asked, orgs: OrgSelection): Promise<Outcome<string | null>> {
  return await list.run('instanceOrgs.get', async () => {
    for await (const { items, totalCount } of listOrgPages(asked.client, asked)) {
      const message = `${totalCount} organizations`;
      const first = items.find((org) => isSelected(orgs, org))?.orgId;
      if (first !== undefined || orgs.kind === 'ids') return { message, value: first ?? null };
    }
    return {
      message: 'no organization that is exported',
      hint: 'nothing will be loaded: see which organizations the instance has, and LOSANT_ORG_IDS',
      value: null,
    };
  });
}

/** `checkEveryOrg` adds a line for each endpoint, and one for each of the first organizations that fail. */
async function checkEveryOrg(
  list: CheckList,
  asked: Asked,
  { instance: { requestConcurrency, orgs }, onOrg }: Pick<InstanceCheck, 'instance' | 'onOrg'>,
): Promise<void> {
  const sums = new Map<string, EndpointSum>();
  const reports = transform(
    requestConcurrency,
    async ({ orgId, total }) => ({ total, reports: await checkOrg({ ...asked, orgId }) }),
    eachOrg(asked, orgs),
  );
  let done = 0;
  for await (const each of reports) {
    for (const report of each.reports) addToSum(sums, report, list);
    done += 1;
    onOrg(done, each.total);
  }
  for (const [name, { good, bad, odd, exitCodes }] of sums) {
    const what = name === RECONCILE ? 'have payloads by source that add up' : 'answered';
    const message = `${good} of ${good + bad + odd} organizations ${what}`;
    if (bad === 0) list.note(name, { message });
    else {
      const hint = 'the lines above say what failed';
      list.fail(name, new CheckError('invalid', message, hint), worstExitCode([...exitCodes]));
    }
  }
}

interface EndpointSum {
  good: number;
  /** The number of answers with something to look at. */
  odd: number;
  bad: number;
  readonly exitCodes: Set<number>;
}

function addToSum(sums: Map<string, EndpointSum>, report: OrgReport, list: CheckList): void {
  const { name, outcome } = report;
  const sum = sums.get(name) ?? { good: 0, odd: 0, bad: 0, exitCodes: new Set() };
  sums.set(name, sum);
  const isGood = outcome.ok && outcome.value.hint == null;
  if (isGood) sum.good += 1;
  else if (outcome.ok) sum.odd += 1;
  else {
    sum.bad += 1;
    sum.exitCodes.add(exitCodeOf(outcome.error));
  }
  if (!isGood && sum.odd + sum.bad <= FAILURES_SHOWN) list.add(name, outcome);
}

/** `eachOrg` yields each organization that is exported, and the most there are. */
async function* eachOrg(asked: Asked, orgs: OrgSelection): AsyncGenerator<{ orgId: string; total: number }> {
  if (orgs.kind === 'ids') {
    return yield* orgs.orgIds.map((orgId) => ({ orgId, total: orgs.orgIds.length }));
  }
  for await (const { items, totalCount: total } of listOrgPages(asked.client, asked)) {
    yield* items.filter((org) => isSelected(orgs, org)).map(({ orgId }) => ({ orgId, total }));
  }
}

/** The name of the comparison, which is not a question to Losant. */
const RECONCILE = 'reconcile';

export interface OrgReport {
  readonly name: string;
  readonly outcome: Outcome<Finding<DayReading | null>>;
}

/** `checkOrg` asks for an organization and its usage of the day. Throws only when interrupted. */
async function checkOrg(target: OrgTarget): Promise<OrgReport[]> {
  const { client, streams, signal } = target;
  const found = await outcomeOf(signal, async () => {
    const { organization } = await getOrg(client, target);
    return { message: `organization ${target.orgId}, ${organization.name}`, value: null };
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
    bodies.push((await fetchUsage(target.client, { ...target, ...request, window })).body);
  }
  const refuse = (problem: string) => {
    const hint =
      'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself';
    return new CheckError('invalid', problem, hint);
  };
  let reading: DayReading | undefined;
  try {
    reading = stream.readBodies(bodies, window).days.get(day);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  if (reading === undefined) return { message: `${day}: no numbers for the day`, value: null };
  if (reading.kind === 'quarantined') throw refuse(`${day}: ${reading.message}`);
  const { facts } = reading;
  const values = stream.columns.map((column, index) => `${column} ${facts[0]?.values[index]}`);
  const isByKey = stream.keyColumns.length > 0;
  const described = isByKey ? `${sumFirst(facts)} in ${facts.length} rows` : values.join(', ');
  return { message: `${day}: ${described}`, value: reading };
}

function sumFirst(facts: readonly Fact[]): number {
  return facts.reduce((sum, { values }) => sum + (values[0] ?? 0), 0);
}

/** `comparePayloads` compares payloads asked for in two ways, which are not documented to be equal. */
function comparePayloads(
  readings: ReadonlyMap<string, DayReading | null>,
  { orgId, day }: OrgTarget,
): Finding<null> | null {
  const [totals, sources] = ['payload_totals', 'payload_sources'].map((name) => readings.get(name));
  if (totals === undefined || sources === undefined) return null;
  // A day that Losant left out has no facts.
  const [billable = 0, all = 0] = (totals?.kind === 'values' && totals.facts[0]?.values) || [];
  const sum = sources?.kind === 'values' ? sumFirst(sources.facts) : 0;
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
