import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import { DatabaseError, describeError, EXIT, exitCodeOf, LosantError, worstExitCode } from '../errors.ts';
import { readClock, requireApiClock } from '../export/context.ts';
import { requireApiUrl } from '../ledger/instances.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { getInstance, getOrg } from '../losant/orgs.ts';
import { readAccess } from '../queries/access.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { type Stream, UnplaceableBodyError } from '../usage/streams/stream.ts';
import { isGood, probeHeartbeat } from '../worker/heartbeat.ts';
import { CheckError, type OrgTarget, type ProbeAnswer, probeOrg, readWindow, within } from './check-probe.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openDatabase, requireCreatable, requireWritable, useDatabase } from './open-database.ts';
import { flag, type OptionValues } from './options.ts';
import { openReading } from './org.ts';

const options = { probe: flag('also find out what the documentation of the API leaves open') };

export const check = defineCommand({
  needs: ['losant', 'database'],
  options,
  run: checkEverything,
});

/** The result of a check that went well. */
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
  readonly message: string;
  /** The operator's next step; without an error, something to look at. */
  readonly hint: string | null;
  /** The reason why the check failed; null if it did not. */
  readonly error: unknown;
}

/** What all checks work with; each adds its result to `all`. */
interface Checking extends CommandContext {
  readonly all: Check[];
}

/** Goes on after a failure and changes nothing. Returns the exit code of the worst failure. */
async function checkEverything(
  context: CommandContext,
  asked: OptionValues<typeof options>,
): Promise<number> {
  const { config, output } = context;
  const checking: Checking = { ...context, all: [] };
  await run(checking, 'settings', () => ({ message: config.instances.map(describeInstance).join('; ') }));
  await checkDatabase(checking);
  const probe: ProbeAnswer[] = [];
  for (const instance of config.instances) {
    const target = await checkInstance(checking, instance);
    if (asked.probe && target !== null) probe.push(...(await probeOrg(target)));
  }
  const { heartbeatUrl } = config;
  if (heartbeatUrl !== null) await run(checking, 'heartbeat', () => checkHeartbeat(heartbeatUrl));
  const failed = checking.all.filter(({ error }) => error !== null);
  const exitCode = worstExitCode(failed.map(({ error }) => exitCodeOf(error)));
  const checks = checking.all.map(({ error, ...shown }) => ({ ...shown, ok: error === null }));
  output.printJson({
    ok: exitCode === EXIT.ok,
    settings: config.origins,
    checks,
    ...(asked.probe && { probe }),
  });
  // A secret shows only where it is.
  const settings = config.origins.map(({ name, value, from }) => [name, value, styled('dim', from)]);
  output.print(
    ...renderChecks(checking.all),
    '',
    'The settings that hold for all instances:',
    ...renderTable({ rows: settings }),
    ...renderProbe(probe),
  );
  return exitCode;
}

/** Adds the finding or the failure of `work`. Returns both; throws only the signal's reason, when interrupted. */
async function run<T>(
  { all, signal }: Checking,
  name: string,
  work: (signal: AbortSignal) => Promise<Finding<T>> | Finding<T>,
): Promise<{ readonly value?: T | undefined; readonly error: unknown }> {
  try {
    const { message, hint = null, value } = await within(signal, async (bounded) => await work(bounded));
    all.push({ name, message, hint, error: null });
    return { value, error: null };
  } catch (error) {
    signal.throwIfAborted();
    const { message, hint } = describeError(error);
    all.push({ name, message, hint, error });
    return { error };
  }
}

function describeInstance({ instanceId, apiUrl, orgs, streams }: InstanceConfig): string {
  const which = orgs.kind === 'ids' ? count(orgs.orgIds.length, 'organization') : 'all organizations';
  return `instance ${instanceId} at ${apiUrl}, ${which}, ${streams.join(', ')}`;
}

/** Checks connection, schema, rights, clock, and that the numbers are of the same API. Reads only. */
async function checkDatabase(checking: Checking): Promise<void> {
  const { config, hostNow } = checking;
  const { value: handle } = await run(checking, 'database', async () => {
    const value = await openDatabase(checking, { ifMissing: 'stand_in' });
    return { message: value.describe, value };
  });
  if (handle === undefined) return;
  await useDatabase(handle, async () => {
    const schema = await run(checking, 'schema', () => checkSchema(checking, handle));
    await run(checking, 'rights', () => checkRights(handle, schema.value === 'empty'));
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
  });
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

async function checkRights(handle: DatabaseHandle, isEmpty: boolean): Promise<Finding> {
  requireWritable(handle);
  if (isEmpty) {
    await requireCreatable(handle);
    return { message: 'may create the tables' };
  }
  const { serverVersion, user, missing } = await readAccess(handle.db);
  const who = `The user ${user} of Postgres ${serverVersion}`;
  if (missing.length === 0) return { message: `${who} may read and write every table that a run writes` };
  throw new DatabaseError('database_refused', `${who} lacks ${missing.join(', ')}`, {
    hint: `grant to ${user} what is missing, in schema losant_usage`,
  });
}

/** The attempts per request, for brief failures only: a check that retries for minutes shows less. */
const ATTEMPTS = 2;

/** Checks what a run asks of Losant. Returns an organization to ask more about, or null. */
async function checkInstance(checking: Checking, instance: InstanceConfig): Promise<OrgTarget | null> {
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
      const [first] = items;
      if (first !== undefined) return { message: `${totalCount} organizations`, value: first.orgId };
    }
    const hint = 'nothing will be loaded: see which organizations the instance has';
    return { message: 'no organization', hint };
  });
  const orgId = orgs.kind === 'ids' ? orgs.orgIds[0] : listed.value;
  if (orgId === undefined) return null;
  const target = {
    client,
    instanceId,
    orgId,
    day: lastCompleteDay(checking.hostNow()),
    signal: checking.signal,
  };
  await run(checking, 'instanceOrg.get', async (signal) => {
    const { organization } = await getOrg(client, { instanceId, orgId, signal });
    return { message: `organization ${orgId}, ${organization.name}` };
  });
  for (const stream of streams.map(streamNamed)) {
    const name = `instanceOrg.${stream.requests[0]?.action ?? stream.name}`;
    await run(checking, name, (signal) => checkDay(stream, { ...target, signal }));
  }
  return target;
}

/** Reads a counter as a run does, of the newest day that is over. */
async function checkDay(stream: Stream, target: OrgTarget): Promise<Finding> {
  const { day } = target;
  const hint =
    'a run would quarantine this answer: ask Losant, or check that LOSANT_API_URL is the API itself';
  try {
    const reading = (await readWindow(target, stream, { from: day, to: day })).get(day);
    if (reading === undefined) return { message: `${day}: no numbers for the day` };
    if (reading.kind !== 'named') throw new CheckError(`${day}: ${reading.message}`, hint);
    const numbers = Object.entries(reading.numbers).flatMap(([column, value]) =>
      typeof value === 'number' ? [`${column} ${value}`] : [],
    );
    return { message: `${day}: ${numbers.join(', ')}` };
  } catch (error) {
    throw error instanceof UnplaceableBodyError ? new CheckError(error.message, hint) : error;
  }
}

/** Asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
async function checkHeartbeat(url: string): Promise<Finding> {
  const answer = await probeHeartbeat(url);
  if (isGood(answer)) return { message: 'the monitor answers' };
  if (typeof answer === 'string') {
    const message = `the monitor of HEARTBEAT_URL does not answer: ${answer}`;
    throw new CheckError(message, 'check the address and the network');
  }
  const hint = 'with Healthchecks the id is wrong; another monitor may just not know /log';
  return { message: `the monitor answers HTTP ${answer}`, hint };
}

/** Renders what is wrong first, then what to look at, then what is right. */
function renderChecks(checks: readonly Check[]): Line[] {
  const failed = checks.filter(({ error }) => error !== null);
  const [good, look] = [
    checks.filter(({ error, hint }) => error === null && hint === null),
    checks.filter(({ error, hint }) => error === null && hint !== null),
  ];
  const verdict = failed.length === 1 ? 'One check failed.' : `${failed.length} checks failed.`;
  return [
    failed.length === 0 ? styled('green', 'Everything works.') : styled('red', verdict),
    ...failed.flatMap((check) => renderCheck(check, styled('red', 'FAILED'))),
    ...look.flatMap((check) => renderCheck(check, styled('yellow', 'look  '))),
    ...good.flatMap((check) => renderCheck(check, styled('green', 'ok    '))),
  ];
}

function renderCheck({ name, message, hint }: Check, state: Line): Line[] {
  // Losant's errors begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((each) => `          ${each}`);
  return [line`${state}  ${shown}`, ...hints];
}

function renderProbe(answers: readonly ProbeAnswer[]): Line[] {
  if (answers.length === 0) return [];
  const rows = answers.map(({ question, answer, touches }) => [question, answer, styled('dim', touches)]);
  return ['', 'How the API behaves, and what that touches:', ...renderTable({ rows })];
}
