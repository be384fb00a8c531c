import { transform } from 'streaming-iterables';
import { exitCodeOf, LosantError, worstExitCode } from '../errors.ts';
import { requireApiClock } from '../export/context.ts';
import { requireApiUrl } from '../ledger/instances.ts';
import type { LosantClient } from '../losant/client.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { fetchUsage } from '../losant/usage.ts';
import { readControlTotalProblems } from '../queries/reconciliation.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { isSelected, type OrgSelection } from '../usage/organization.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import {
  type DayReading,
  type Fact,
  type Stream,
  UnplaceableBodyError,
  type WindowReading,
} from '../usage/streams/stream.ts';
import {
  type Check,
  type CheckContext,
  CheckError,
  type CheckedDatabase,
  type Finding,
  runCheck,
  showSkew,
} from './check-postgres.ts';
import { openReading } from './org.ts';

export interface InstanceCheck {
  readonly instance: InstanceConfig;
  readonly database: CheckedDatabase;
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
  context: CheckContext,
  { instance, database, allOrgs, onOrg }: InstanceCheck,
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
  const found = await context.check('instance.get', async () => {
    const { name } = await getInstance(client, { instanceId, signal });
    return { message: `instance ${instanceId}${name === null ? '' : `, ${name}`}` };
  });
  if (aheadMs !== null) await checkClock(context, aheadMs);
  await checkLedger(context, database, instance);
  if (isHopeless(found)) return null;
  const first = await checkList(context, asked, instance.orgs);
  if (instance.orgs.kind === 'all' && first.error !== null) {
    const hint = 'name organizations in LOSANT_ORG_IDS, or fix the list error first';
    const message = 'not asked: no organization is known';
    context.add({ name: 'instanceOrg', message, hint, error: first.error });
    return null;
  }
  const orgId = instance.orgs.kind === 'ids' ? instance.orgs.orgIds[0] : first.value;
  if (orgId === undefined) return null;
  const target = { ...asked, orgId };
  if (allOrgs) await checkEveryOrg(context, asked, { instance, onOrg });
  else for (const check of await checkOrg(target)) context.add(check);
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

async function checkClock({ check }: CheckContext, aheadMs: number): Promise<void> {
  await check('clock.losant', () => {
    requireApiClock(aheadMs);
    return Promise.resolve({ message: `${showSkew(aheadMs)} the clock used here` });
  });
}

/** `checkLedger` compares the API's URL, and notes which of Losant's own totals cannot be read: no failure. */
async function checkLedger(
  { add, check }: CheckContext,
  { handle, isAtHead }: CheckedDatabase,
  instance: InstanceConfig,
): Promise<void> {
  if (!handle || !isAtHead) return;
  await check('api_url', async () => {
    await requireApiUrl(handle.db, instance);
    return { message: 'the database has numbers of this API or none yet' };
  });
  for (const { question, message } of await readControlTotalProblems(handle.db, [instance.instanceId])) {
    const hint =
      'losant-usage reconcile has nothing newer to compare with; numbers and runs are not affected';
    add({ name: 'control totals', message: `${question} not read: ${message}`, hint, error: null });
  }
}

/** `isHopeless` returns whether every further question would fail in the same way. */
function isHopeless({ error }: Check): boolean {
  const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
  return error !== null && !mayGoOn;
}

/** `checkList` finds the first organization that is exported; none if Losant lists none. */
async function checkList({ check }: CheckContext, asked: Asked, orgs: OrgSelection): Promise<Check<string>> {
  return await check('instanceOrgs.get', async () => {
    for await (const { items, totalCount } of listOrgPages(asked.client, asked)) {
      const message = `${totalCount} organizations`;
      const value = items.find((org) => isSelected(orgs, org))?.orgId;
      if (value !== undefined) return { message, value };
      if (orgs.kind === 'ids') return { message };
    }
    return {
      message: 'no organization that is exported',
      hint: 'nothing will be loaded: see which organizations the instance has, and LOSANT_ORG_IDS',
    };
  });
}

/** `checkEveryOrg` adds a line for each endpoint, and one for each of the first organizations that fail. */
async function checkEveryOrg(
  { add }: CheckContext,
  asked: Asked,
  { instance: { requestConcurrency, orgs }, onOrg }: Pick<InstanceCheck, 'instance' | 'onOrg'>,
): Promise<void> {
  /** The checks of each endpoint, how many of them are good, and the worst failure. */
  const sums = new Map<string, { all: number; good: number; worst: unknown }>();
  const reports = transform(
    requestConcurrency,
    async ({ orgId, total }) => ({ total, checks: await checkOrg({ ...asked, orgId }) }),
    eachOrg(asked, orgs),
  );
  let done = 0;
  for await (const { total, checks } of reports) {
    for (const check of checks) {
      const sum = sums.get(check.name) ?? { all: 0, good: 0, worst: null };
      sums.set(check.name, sum);
      sum.all += 1;
      if (check.error === null && check.hint === null) sum.good += 1;
      else if (sum.all - sum.good <= FAILURES_SHOWN) add(check);
      if (check.error !== null) sum.worst = worseOf(check.error, sum.worst);
    }
    done += 1;
    onOrg(done, total);
  }
  for (const [name, { all, good, worst }] of sums) {
    const what = name === RECONCILE ? 'have payloads by source that add up' : 'answered';
    const message = `${good} of ${all} organizations ${what}`;
    add({ name, message, hint: worst === null ? null : 'the lines above say what failed', error: worst });
  }
}

/** `worseOf` returns the failure whose exit code is worse. */
function worseOf(one: unknown, other: unknown): unknown {
  if (other === null) return one;
  return worstExitCode([one, other].map(exitCodeOf)) === exitCodeOf(one) ? one : other;
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

/** `checkOrg` asks for an organization and its usage of the day. Throws only when interrupted. */
async function checkOrg(target: OrgTarget): Promise<Check[]> {
  const { client, streams, signal } = target;
  const found = await runCheck('instanceOrg.get', signal, async () => {
    const { organization } = await getOrg(client, target);
    return { message: `organization ${target.orgId}, ${organization.name}` };
  });
  const checks: Check[] = [found];
  const readings = new Map<string, DayReading | undefined>();
  for (const stream of streams.map(streamNamed)) {
    const name = `instanceOrg.${stream.requests[0]?.action ?? stream.name}`;
    const check = await runCheck(name, signal, () => checkDay(stream, target));
    checks.push(check);
    if (check.error === null) readings.set(stream.name, check.value);
  }
  const comparison = comparePayloads(readings, target);
  return comparison === null
    ? checks
    : [...checks, { hint: null, ...comparison, name: RECONCILE, error: null }];
}

/** `readWindow` reads a counter as a run does, of an organization or of the whole instance. */
export async function readWindow(
  { client, instanceId, orgId, signal }: Omit<OrgTarget, 'orgId'> & { readonly orgId: string | null },
  stream: Stream,
  window: DayRange,
): Promise<WindowReading['days']> {
  const bodies: unknown[] = [];
  for (const request of stream.requests) {
    bodies.push((await fetchUsage(client, { instanceId, orgId, window, signal, ...request })).body);
  }
  return stream.readBodies(bodies, window).days;
}

async function checkDay(stream: Stream, target: OrgTarget): Promise<Finding<DayReading>> {
  const { day } = target;
  const refuse = (problem: string) => {
    const hint =
      'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself';
    return new CheckError('invalid', problem, hint);
  };
  let reading: DayReading | undefined;
  try {
    reading = (await readWindow(target, stream, { from: day, to: day })).get(day);
  } catch (error) {
    throw error instanceof UnplaceableBodyError ? refuse(error.message) : error;
  }
  if (reading === undefined) return { message: `${day}: no numbers for the day` };
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
  readings: ReadonlyMap<string, DayReading | undefined>,
  { orgId, day }: OrgTarget,
): Finding | null {
  if (!readings.has('payload_totals') || !readings.has('payload_sources')) return null;
  const [totals, sources] = [readings.get('payload_totals'), readings.get('payload_sources')];
  // A day that Losant left out has no facts.
  const [billable = 0, all = 0] = (totals?.kind === 'values' && totals.facts[0]?.values) || [];
  const sum = sources?.kind === 'values' ? sumFirst(sources.facts) : 0;
  const where = `organization ${orgId}, ${day}`;
  if (sum === all) return { message: `${where}: payloads by source add up to all payloads, ${sum}` };
  return {
    message: `${where}: payloads by source add up to ${sum}, all payloads are ${all}, billable ones ${billable}`,
    hint: 'decide which of them you bill; both are stored, in payload_sources and payload_totals',
  };
}
