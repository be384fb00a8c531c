import { LosantError } from '../errors.ts';
import { requireApiClock } from '../export/context.ts';
import { requireApiUrl } from '../ledger/instances.ts';
import type { LosantClient } from '../losant/client.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { fetchUsage } from '../losant/usage.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { type Stream, UnplaceableBodyError, type WindowReading } from '../usage/streams/stream.ts';
import { type CheckedDatabase, showSkew } from './check-database.ts';
import { CheckError, type Checks, type Finding } from './check-finding.ts';
import type { CommandContext } from './command.ts';
import { openReading } from './org.ts';

/** An organization and how to ask about it, with the day to ask for. */
export interface OrgTarget {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly orgId: string;
  readonly streams: readonly string[];
  readonly day: UsageDay;
  readonly signal: AbortSignal;
}

/** The attempts per request, for brief failures only: a check that retries for minutes shows less. */
const ATTEMPTS = 2;

/** The bound on each question, even if Losant asks to wait. */
const QUESTION_MS = 60_000;

/** Checks what a run asks of Losant. Returns an organization to ask more about, or null. */
export async function checkInstance(
  context: CommandContext,
  checks: Checks,
  { instance, database }: { readonly instance: InstanceConfig; readonly database: CheckedDatabase },
): Promise<OrgTarget | null> {
  const { signal, config } = context;
  const { instanceId, orgs } = instance;
  let aheadMs: number | null = null;
  const opened = openReading(context, instance, {
    attempts: Math.min(ATTEMPTS, config.request.attempts),
    now: database.now,
    takesAnyTime: true,
    onClock: (ms) => {
      aheadMs = ms;
    },
  });
  const client = boundQuestions(opened);
  const { error } = await checks.run('instance.get', async () => {
    const { name } = await getInstance(client, { instanceId, signal });
    return { message: `instance ${instanceId}${name === null ? '' : `, ${name}`}` };
  });
  if (aheadMs !== null) {
    const ahead = aheadMs;
    await checks.run('clock.losant', () => {
      requireApiClock(ahead);
      return { message: `${showSkew(ahead)} the clock used here` };
    });
  }
  const { handle, isAtHead } = database;
  if (handle && isAtHead) {
    await checks.run('api_url', async () => {
      await requireApiUrl(handle.db, instance);
      return { message: 'the database has numbers of this API or none yet' };
    });
  }
  if (isHopeless(error)) return null;
  const listed = await checks.run('instanceOrgs.get', () => findFirst(client, instance, signal));
  const orgId = orgs.kind === 'ids' ? orgs.orgIds[0] : listed.value;
  if (orgId === undefined) return null;
  const day = lastCompleteDay(database.now());
  const target: OrgTarget = { client, instanceId, orgId, streams: instance.streams, day, signal };
  await checkOrg(checks, target);
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

/** Whether every further question would fail in the same way. */
function isHopeless(error: unknown): boolean {
  const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
  return error !== null && !mayGoOn;
}

/** Finds the first organization that is listed. */
async function findFirst(
  client: LosantClient,
  { instanceId }: InstanceConfig,
  signal: AbortSignal,
): Promise<Finding<string>> {
  for await (const { items, totalCount } of listOrgPages(client, { instanceId, signal })) {
    const [first] = items;
    if (first !== undefined) return { message: `${totalCount} organizations`, value: first.orgId };
  }
  return {
    message: 'no organization',
    hint: 'nothing will be loaded: see which organizations the instance has',
  };
}

/** Asks for an organization and its usage of the day. */
async function checkOrg(checks: Checks, target: OrgTarget): Promise<void> {
  await checks.run('instanceOrg.get', async () => {
    const { organization } = await getOrg(target.client, target);
    return { message: `organization ${target.orgId}, ${organization.name}` };
  });
  const numbers = new Map<string, number>();
  for (const stream of target.streams.map(streamNamed)) {
    const name = `instanceOrg.${stream.requests[0]?.action ?? stream.name}`;
    const { value = [] } = await checks.run(name, () => checkDay(stream, target));
    for (const [column, number] of value) numbers.set(column, number);
  }
  const [sum, all] = ['payload_source_count', 'payload_all_count'].map((column) => numbers.get(column));
  if (sum === undefined || all === undefined) return;
  const where = `organization ${target.orgId}, ${target.day}`;
  checks.add({
    name: 'reconcile',
    message: `${where}: payloads by source add up to ${sum}, all payloads are ${all}`,
    hint: sum === all ? null : 'they count differently here: see losant-usage reconcile, and CONTROL_TOTALS',
  });
}

/** Reads a counter as a run does, of an organization or of the whole instance. */
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

async function checkDay(
  stream: Stream,
  target: OrgTarget,
): Promise<Finding<readonly (readonly [column: string, number: number])[]>> {
  const { day } = target;
  const hint =
    'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself';
  try {
    const reading = (await readWindow(target, stream, { from: day, to: day })).get(day);
    if (reading === undefined) return { message: `${day}: no numbers for the day` };
    if (reading.kind !== 'named') throw new CheckError('invalid', `${day}: ${reading.message}`, hint);
    const value = Object.entries(reading.numbers).flatMap(([column, number]) => {
      return typeof number === 'number' ? [[column, number] as const] : [];
    });
    return { message: `${day}: ${value.map((each) => each.join(' ')).join(', ')}`, value };
  } catch (error) {
    throw error instanceof UnplaceableBodyError ? new CheckError('invalid', error.message, hint) : error;
  }
}
