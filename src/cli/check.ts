import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import { describeUrl } from '../database/open.ts';
import { requireOwnSession } from '../database/session.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, exitCodeOf, LosantError, worstExitCode } from '../errors.ts';
import { requireInstance } from '../ledger/instance.ts';
import { readClock, requireApiClock } from '../loading/context.ts';
import { getInstance, getOrg } from '../losant/endpoints.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { count } from '../terminal/words.ts';
import { LATE_AFTER_HOURS, lastEndedDay } from '../usage/policy.ts';
import { getStream } from '../usage/streams/catalog.ts';
import { isDelivered, sendPing } from '../worker/heartbeat.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openDatabase, requireMigratable, requirePrivileges, requireWritable } from './database.ts';
import { flagOption } from './options.ts';
import { createReadClient } from './org.ts';
import { probeOrg, readNumbers, showNumbers, type Target } from './probe.ts';

/** Runs all checks, also after a failure, and changes nothing. Exits with the code of the worst failure. */
export const check = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: { probe: flagOption('also test what the API documentation leaves open') },
  async run(context, { probe }) {
    const { config } = context;
    const reports: CheckReport[] = [];
    const exitCodes: number[] = [];
    const where = describeUrl(config.readDatabaseUrl());
    const checking: CheckContext = { ...context, reports, exitCodes, where };
    await runCheck(checking, 'settings', () => checkSettings(config));
    await checkDatabase(checking);
    const target = await checkInstance(checking);
    if (probe && target !== null) {
      const { horizonDays } = config.policy;
      await probeOrg(target, horizonDays, (name, work) => runCheck(checking, `probe.${name}`, work));
    }
    const { heartbeatUrl } = config;
    if (heartbeatUrl !== null) await runCheck(checking, 'heartbeat', () => checkHeartbeat(heartbeatUrl));
    const failures = exitCodes.length;
    const head = failures === 0 ? 'All checks passed.' : `${count(failures, 'check')} failed.`;
    const failuresFirst = reports.toSorted((a, b) => Number(a.ok) - Number(b.ok));
    const lines = [head, ...failuresFirst.flatMap(renderCheck)];
    return { document: { ok: failures === 0, checks: reports }, lines, exitCode: worstExitCode(exitCodes) };
  },
});

/** The result of a check that passed; one that fails throws. */
interface CheckResult<T = unknown> {
  readonly message: string;
  /** Advice although the check passed. */
  readonly hint?: string;
  readonly value?: T;
}

interface CheckReport {
  /** What is checked. For a request to Losant it is the action, which is also the name of its scope. */
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string | null;
}

/** The tools of all checks; each adds its result to `reports`. */
interface CheckContext extends CommandContext {
  readonly reports: CheckReport[];
  /** Those of the checks that failed. */
  readonly exitCodes: number[];
  /** The database, without its password. */
  readonly where: string;
}

function renderCheck({ name, ok, message, hint }: CheckReport): string[] {
  // Losant's errors begin with the action, which is the name.
  const line = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint?.split('\n').map((text) => `          ${text}`) ?? [];
  return [`${ok ? 'ok    ' : 'FAILED'}  ${line}`, ...hints];
}

/** The limit on each check of Losant, even if it asks for a pause. */
const CHECK_TIMEOUT_MS = 60_000;

const TOO_SLOW = new AppError('timeout', `no response within ${CHECK_TIMEOUT_MS / 1_000} s`, {
  hint: 'Losant is slow or is rate-limiting this token; try again later, or lower REQUESTS_PER_SECOND',
});

/** Runs a check and records its result or failure. Rethrows an interruption, and a bug of this program. */
async function runCheck<T>(
  { reports, exitCodes, signal, where, role }: CheckContext,
  name: string,
  work: (signal: AbortSignal) => Promise<CheckResult<T>> | CheckResult<T>,
): Promise<{ readonly value?: T | undefined; readonly error: unknown }> {
  const limit = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  try {
    const { message, hint = null, value } = await work(AbortSignal.any([signal, limit]));
    reports.push({ name, ok: true, message, hint });
    return { value, error: null };
  } catch (thrown) {
    signal.throwIfAborted();
    // Only requests to Losant have the limit; a statement has its own, which may end later.
    const error = describeDatabaseError(thrown, { where, role }) ?? (limit.aborted ? TOO_SLOW : thrown);
    if (!(error instanceof AppError)) throw thrown;
    reports.push({ name, ok: false, message: error.message, hint: error.hint });
    exitCodes.push(exitCodeOf(error));
    return { error };
  }
}

function checkSettings({ instanceId, apiUrl, selection, streams, policy }: CommandContext['config']): CheckResult {
  const orgs = selection === null ? 'all organizations' : count(selection.length, 'organization');
  const message = `instance ${instanceId} at ${apiUrl}, ${orgs}, ${streams.join(', ')}`;
  const [firstHours = 0] = policy.readAtHours;
  if (firstHours <= LATE_AFTER_HOURS) return { message };
  const hint = `READ_AT_HOURS begins after ${firstHours} hours, but an unread day is missing after ${LATE_AFTER_HOURS}`;
  return { message, hint: `${hint}; add an earlier checkpoint, such as 0` };
}

/** Checks connection, schema, rights, clock, and that the database belongs to the instance. Reads only. */
async function checkDatabase(checking: CheckContext): Promise<void> {
  const { config, hostNow } = checking;
  const { value: database } = await runCheck(checking, 'database', async () => {
    const value = await openDatabase(checking, { ifMissing: 'stand_in' });
    return { message: value.label, value };
  });
  if (database === undefined) return;
  await using handle = database;
  await runCheck(checking, 'session', async () => {
    await requireOwnSession(handle);
    return { message: 'each connection has its own session' };
  });
  const schema = await runCheck(checking, 'schema', () => checkSchema(checking, handle));
  await runCheck(checking, 'rights', () => checkRights(checking, handle, schema.value));
  await runCheck(checking, 'clock.database', async () => {
    const now = await readClock(checking, handle);
    return { message: describeClock(now() - hostNow()) };
  });
  if (schema.value !== 'at_head') return;
  await runCheck(checking, 'instance', async () => {
    await requireInstance(handle.db, config);
    return { message: `the database has usage of ${config.instanceId} from ${config.apiUrl}, or none yet` };
  });
}

function describeClock(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} this host's clock`;
}

async function checkSchema({ config }: CommandContext, handle: DatabaseHandle) {
  const schemaState = await readSchemaState(handle);
  const { state, applied, pending } = schemaState;
  if (state === 'empty') return { message: 'no tables yet; migrate or the first run creates them', value: state };
  if (state === 'behind' && config.autoMigrate) {
    return { message: `the next run applies ${pending.join(', ')} (AUTO_MIGRATE is true)`, value: state };
  }
  await requireSchema(handle, schemaState);
  return { message: `up to date (${applied.at(-1)})`, value: state };
}

/** Checks the rights that a run needs, which migrates a schema that is empty or behind. */
async function checkRights({ role }: CheckContext, handle: DatabaseHandle, state?: SchemaState['state']) {
  requireWritable(handle, role);
  if (state === 'empty' || state === 'behind') await requireMigratable(handle, state);
  if (state === 'empty') return { message: 'allowed to create the tables' };
  const subject = await requirePrivileges(handle, role);
  return { message: `${subject} can read and write every table that a run needs` };
}

/** Enough for a brief failure: a check that retries for minutes hides one. */
const ATTEMPTS = 2;

/** Checks every request of a run. Returns an organization for further checks, or null. */
async function checkInstance(checking: CheckContext): Promise<Target | null> {
  const { instanceId, selection, streams, request } = checking.config;
  const client = createReadClient(checking, Math.min(ATTEMPTS, request.attempts));
  const { error } = await runCheck(checking, 'instance.get', async (signal) => {
    const { name } = await getInstance(client, signal);
    return { message: `instance ${instanceId}${name === null ? '' : `, ${name}`}` };
  });
  await runCheck(checking, 'clock.losant', () => {
    const aheadMs = client.getAheadMs();
    requireApiClock(aheadMs);
    return { message: aheadMs === null ? 'unknown, because Losant did not respond' : describeClock(aheadMs) };
  });
  const canContinue = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
  if (error !== null && !canContinue) return null;
  const listCheck = await runCheck(checking, 'instanceOrgs.get', async (signal) => {
    for await (const { items, totalCount } of listOrgPages(client, { signal })) {
      const value = items.find((item) => item.orgId !== null)?.orgId;
      if (value != null) return { message: count(totalCount, 'organization'), value };
    }
    const hint = 'a run would load nothing; check that this is the right instance';
    return { message: 'the instance has no organizations', hint };
  });
  const orgId = selection === null ? listCheck.value : selection[0];
  if (orgId === undefined) return null;
  const { signal, hostNow: now } = checking;
  const target = { client, orgId, day: lastEndedDay(now()), now, signal };
  await runCheck(checking, 'instanceOrg.get', async (limit) => {
    const { organization } = await getOrg(client, orgId, limit);
    return { message: `organization ${orgId}, ${organization.name}` };
  });
  for (const stream of streams) {
    const name = `instanceOrg.${getStream(stream).requests[0]?.action ?? stream}`;
    await runCheck(checking, name, async (limit) => {
      const numbers = await readNumbers({ ...target, signal: limit }, stream);
      return { message: `${target.day}: ${showNumbers(numbers)}` };
    });
  }
  return target;
}

/** Checks that the monitor of HEARTBEAT_URL responds, without reporting a run to it. */
async function checkHeartbeat(url: string): Promise<CheckResult> {
  const response = await sendPing(url, '/log');
  if (isDelivered(response)) return { message: 'the monitor responds' };
  if (typeof response === 'string') {
    throw new AppError('unreachable', `HEARTBEAT_URL does not respond: ${response}`, {
      hint: 'check the address and the network',
    });
  }
  const hint = 'on Healthchecks this means the ID is wrong; other monitors may not support /log';
  return { message: `HEARTBEAT_URL responded with HTTP ${response}`, hint };
}
