import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import { describeUrl } from '../database/open.ts';
import { describeDatabaseError, hintRole } from '../database/sqlstate.ts';
import { DatabaseError, EXIT, ExportError, exitCodeOf, LosantError, worstExitCode } from '../errors.ts';
import { readClock, requireApiClock } from '../export/context.ts';
import { extractSlice } from '../export/extract.ts';
import { requireApiUrl } from '../ledger/instances.ts';
import type { LosantClient } from '../losant/client.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { readAccess } from '../queries/access.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { count } from '../terminal/words.ts';
import { addDays, type UsageDay } from '../usage/day.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { isGood, probeHeartbeat } from '../worker/heartbeat.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openDatabase, requireCreatable, requireWritable } from './database.ts';
import { flag } from './options.ts';
import { openReading } from './org.ts';

/** Goes on after a failure and changes nothing. Exits with the code of the worst failure. */
export const check = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: { probe: flag('also find out what the documentation of the API leaves open') },
  async run(context, { probe }) {
    const { config } = context;
    const all: Check[] = [];
    const checking: Checking = { ...context, all, where: describeUrl(config.readDatabaseUrl()) };
    await run(checking, 'settings', () => ({ message: config.instances.map(describeInstance).join('; ') }));
    await checkDatabase(checking);
    for (const instance of config.instances) {
      const target = await checkInstance(checking, instance);
      if (probe && target !== null) await probeOrg(checking, target);
    }
    const { heartbeatUrl } = config;
    if (heartbeatUrl !== null) await run(checking, 'heartbeat', () => checkHeartbeat(heartbeatUrl));
    const failed = all.filter(({ ok }) => !ok);
    const worst = worstExitCode(all.map(({ exitCode }) => exitCode));
    const checks = all.map(({ exitCode: _, ...shown }) => shown);
    const head = worst === EXIT.ok ? 'Everything works.' : `${count(failed.length, 'check')} failed.`;
    return {
      document: { ok: worst === EXIT.ok, checks },
      lines: [head, ...[...failed, ...all.filter(({ ok }) => ok)].flatMap(renderCheck)],
      exitCode: worst,
    };
  },
});

/** The result of a check that did not fail; one that fails throws. */
interface Finding<T = unknown> {
  readonly message: string;
  /** Something to look at. */
  readonly hint?: string;
  /** The value for later checks. */
  readonly value?: T;
}

interface Check {
  /** The thing checked. For a question to Losant it is the action, which is also the name of its scope. */
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  /** The operator's next step. */
  readonly hint: string | null;
  readonly exitCode: number;
}

/** The tools of all checks; each adds its result to `all`. */
interface Checking extends CommandContext {
  readonly all: Check[];
  /** The database, without its password. */
  readonly where: string;
}

function renderCheck({ name, ok, message, hint }: Check): string[] {
  // Losant's errors begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((text) => `          ${text}`);
  return [`${ok ? 'ok    ' : 'FAILED'}  ${shown}`, ...hints];
}

/** The bound on each question, even if Losant asks to wait. */
const QUESTION_MS = 60_000;

const TOO_SLOW = new ExportError('timeout', `no answer within ${QUESTION_MS / 1_000} s`, {
  hint: 'it is slow, or asks to wait: try again later, or lower REQUESTS_PER_SECOND',
});

/**
 * Adds the finding or the failure of `work`, and returns both. Throws the signal's reason, when interrupted, and what
 * is a defect of this program and no failure of what is checked.
 */
async function run<T>(
  { all, signal, where, role }: Checking,
  name: string,
  work: (signal: AbortSignal) => Promise<Finding<T>> | Finding<T>,
): Promise<{ readonly value?: T | undefined; readonly error: unknown }> {
  const limit = AbortSignal.timeout(QUESTION_MS);
  try {
    const { message, hint = null, value } = await work(AbortSignal.any([signal, limit]));
    all.push({ name, ok: true, message, hint, exitCode: EXIT.ok });
    return { value, error: null };
  } catch (thrown) {
    signal.throwIfAborted();
    const error = limit.aborted ? TOO_SLOW : (describeDatabaseError(thrown, { where, role }) ?? thrown);
    if (!(error instanceof ExportError)) throw thrown;
    all.push({ name, ok: false, message: error.message, hint: error.hint, exitCode: exitCodeOf(error) });
    return { error };
  }
}

function describeInstance({ instanceId, apiUrl, orgs, streams }: InstanceConfig): string {
  const which = orgs === null ? 'all organizations' : count(orgs.length, 'organization');
  return `instance ${instanceId} at ${apiUrl}, ${which}, ${streams.join(', ')}`;
}

/** Checks connection, schema, rights, clock, and that the numbers are of the same API. Reads only. */
async function checkDatabase(checking: Checking): Promise<void> {
  const { config, hostNow } = checking;
  const { value: opened } = await run(checking, 'database', async () => {
    const value = await openDatabase(checking, { ifMissing: 'stand_in' });
    return { message: value.describe, value };
  });
  if (opened === undefined) return;
  await using handle = opened;
  const schema = await run(checking, 'schema', () => checkSchema(checking, handle));
  await run(checking, 'rights', () => checkRights(checking, handle, schema.value === 'empty'));
  await run(checking, 'clock.database', async () => {
    const now = await readClock(checking, handle);
    return { message: describeClock(now() - hostNow()) };
  });
  if (schema.value !== 'at_head') return;
  for (const instance of config.instances) {
    await run(checking, 'api_url', async () => {
      await requireApiUrl(handle.db, instance);
      return { message: `the database has numbers of ${instance.apiUrl} or none yet` };
    });
  }
}

function describeClock(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the clock used here`;
}

async function checkSchema(
  { config }: CommandContext,
  handle: DatabaseHandle,
): Promise<Finding<SchemaState['state']>> {
  const { state, applied, pending } = await readSchemaState(handle);
  if (state === 'empty') return { message: 'no tables yet: run creates them', value: state };
  if (state === 'behind' && config.autoMigrate) {
    const message = `${pending.join(', ')} not applied yet: the next run does it, as AUTO_MIGRATE is true`;
    return { message, value: state };
  }
  await requireSchema(handle, { createIfEmpty: false, autoMigrate: false });
  return { message: `at ${applied.at(-1)}, as this program`, value: state };
}

async function checkRights({ role }: Checking, handle: DatabaseHandle, isEmpty: boolean): Promise<Finding> {
  requireWritable(handle, role);
  if (isEmpty) {
    await requireCreatable(handle);
    return { message: 'may create the tables' };
  }
  const { serverVersion, user, missing } = await readAccess(handle.db);
  const who = `The user ${user} of Postgres ${serverVersion}`;
  if (missing.length === 0) return { message: `${who} may read and write every table that a run writes` };
  throw new DatabaseError('database_refused', `${who} lacks ${missing.join(', ')}`, {
    hint: hintRole(role),
  });
}

/** An organization, or the whole instance, and how to ask about it, with the day to ask for. */
interface Target {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly orgId: string;
  readonly day: UsageDay;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** The attempts per request, for brief failures only: a check that retries for minutes shows less. */
const ATTEMPTS = 2;

/** Checks what a run asks of Losant. Returns an organization to ask more about, or null. */
async function checkInstance(checking: Checking, instance: InstanceConfig): Promise<Target | null> {
  const { instanceId, orgs, streams } = instance;
  let aheadMs: number | null = null;
  const client = openReading(checking, instance, {
    attempts: Math.min(ATTEMPTS, checking.config.request.attempts),
    onClock: (ms) => {
      aheadMs = ms;
    },
  });
  const { error } = await run(checking, 'instance.get', async (signal) => {
    const { name } = await getInstance(client, { instanceId, signal });
    return { message: `instance ${instanceId}${name === null ? '' : `, ${name}`}` };
  });
  await run(checking, 'clock.losant', () => {
    requireApiClock(aheadMs);
    return { message: aheadMs === null ? 'not known, as it did not answer' : describeClock(aheadMs) };
  });
  const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
  if (error !== null && !mayGoOn) return null;
  const listed = await run(checking, 'instanceOrgs.get', async (signal) => {
    for await (const { items, totalCount } of listOrgPages(client, { instanceId, signal })) {
      const value = items.find((item) => item.orgId !== null)?.orgId;
      if (value != null) return { message: `${totalCount} organizations`, value };
    }
    const hint = 'nothing will be loaded: see which organizations the instance has';
    return { message: 'no organization', hint };
  });
  const orgId = orgs === null ? listed.value : orgs[0];
  if (orgId === undefined) return null;
  const { signal, hostNow: now } = checking;
  const target = { client, instanceId, orgId, day: lastCompleteDay(now()), now, signal };
  await run(checking, 'instanceOrg.get', async (limit) => {
    const { organization } = await getOrg(client, { instanceId, orgId, signal: limit });
    return { message: `organization ${orgId}, ${organization.name}` };
  });
  for (const stream of streams) {
    const name = `instanceOrg.${streamNamed(stream).requests[0]?.action ?? stream}`;
    await run(checking, name, async (limit) => {
      const numbers = await readNumbers({ ...target, signal: limit }, stream);
      return { message: `${target.day}: ${showNumbers(numbers)}` };
    });
  }
  return target;
}

/** Reads the numbers of a day by column, as a run does; none for a day that was left out. */
async function readNumbers(
  { day, ...target }: Target,
  stream: string,
): Promise<Readonly<Record<string, number>>> {
  const slice = { orgId: target.orgId, stream, window: { from: day, to: day }, days: [day] };
  const [result] = await extractSlice(slice, target, target.signal);
  if (result?.error) throw result.error;
  const verdict = result?.answers[0]?.verdict;
  if (verdict?.kind === 'quarantined') {
    throw new ExportError('bad_body', verdict.message, {
      hint: 'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself',
    });
  }
  const all = verdict?.kind === 'named' ? Object.entries(verdict.numbers) : [];
  return Object.fromEntries(all.filter((each): each is [string, number] => typeof each[1] === 'number'));
}

/** Asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
async function checkHeartbeat(url: string): Promise<Finding> {
  const answer = await probeHeartbeat(url);
  if (isGood(answer)) return { message: 'the monitor answers' };
  if (typeof answer === 'string') {
    throw new ExportError('unreachable', `the monitor of HEARTBEAT_URL does not answer: ${answer}`, {
      hint: 'check the address and the network',
    });
  }
  const hint = 'with Healthchecks the id is wrong; another monitor may just not know /log';
  return { message: `the monitor answers HTTP ${answer}`, hint };
}

/** Asks what the documentation leaves open, and says what that touches. A refusal is an answer too. */
async function probeOrg(checking: Checking, place: Target): Promise<void> {
  const probe = async (name: string, touches: string, ask: (target: Target) => Promise<string>) => {
    await run(checking, `probe.${name}`, async (signal) => {
      const answer = await ask({ ...place, signal }).catch((error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof ExportError) return error.message;
        throw error;
      });
      return { message: `${answer} (touches ${touches})` };
    });
  };
  for (const age of [100, 400]) {
    await probe(`day_${age}_days_ago`, 'HORIZON_DAYS', async (target) => {
      const old = { ...target, day: addDays(target.day, -age) };
      return showNumbers(await readNumbers(old, 'payload_totals'));
    });
  }
  const touches = 'which of them you bill, reconciliation and CONTROL_TOTALS';
  await probe('payloads_in_two_ways', touches, async (target) => {
    const sources = await readNumbers(target, 'payload_sources');
    return showNumbers({ ...sources, ...(await readNumbers(target, 'payload_totals')) });
  });
  await probe('instance_totals', 'reconciliation and CONTROL_TOTALS', probeTotals);
}

/** The most organizations added up. Each is asked twice, and a probe is a few questions, not an export. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAYS = 4;

async function probeTotals(target: Target): Promise<string> {
  const { client, instanceId, signal } = target;
  const first = await listOrgPages(client, { instanceId, perPage: ORGS_MAX, signal }).next();
  if (first.done === true) return 'there is no organization';
  const { items, totalCount } = first.value;
  if (totalCount > ORGS_MAX) {
    return `not asked of ${totalCount} organizations: see losant-usage reconcile after some days`;
  }
  const old = { ...target, day: addDays(target.day, -FINAL_DAYS) };
  const answers: string[] = [];
  for (const stream of ['device_counts', 'payload_totals']) {
    const sums: Record<string, number> = {};
    for (const orgId of items.flatMap((item) => item.orgId ?? [])) {
      for (const [column, value] of Object.entries(await readNumbers({ ...old, orgId }, stream))) {
        sums[column] = (sums[column] ?? 0) + value;
      }
    }
    const totals = Object.entries(await readNumbers({ ...old, orgId: WHOLE_INSTANCE }, stream));
    answers.push(...totals.map(([column, total]) => `${column} ${sums[column] ?? 'nothing'} of ${total}`));
  }
  return `${old.day}, ${totalCount} organizations: ${answers.join('; ')}`;
}

function showNumbers(numbers: Readonly<Record<string, number>>): string {
  const shown = Object.entries(numbers).map((each) => each.join(' '));
  return shown.length === 0 ? 'no number' : shown.join(', ');
}
