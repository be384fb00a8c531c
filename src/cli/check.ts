import { EXIT, exitCodeOf, worstExitCode } from '../errors.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { createProgress } from '../terminal/progress.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { isGood, probeHeartbeat } from '../worker/heartbeat.ts';
import { checkInstance, type InstanceCheck } from './check-instance.ts';
import {
  type Check,
  type CheckContext,
  CheckError,
  checkDatabase,
  type Finding,
  runCheck,
} from './check-postgres.ts';
import { type ProbeAnswer, probeInstance } from './check-probe.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { type OptionValues, switchOption } from './options.ts';

const checkOptions = {
  allOrgs: switchOption('ask for every organization, not only the first'),
  probe: switchOption('also find out what the documentation of the API leaves open'),
};

export const check = defineCommand({
  needs: ['losant', 'database'],
  options: checkOptions,
  examples: () => ({
    check: 'is everything ready for the first run?',
    'check --all-orgs': 'may the token read every organization?',
  }),
  run: checkEverything,
});

/** The expected number of organizations per second, each of which is asked several questions. */
const ORGS_PER_SECOND = 3;

/** `checkEverything` goes on after a failure and changes nothing. Returns the exit code of the worst failure. */
export async function checkEverything(
  context: CommandContext,
  options: OptionValues<typeof checkOptions>,
): Promise<number> {
  const { config, output, signal } = context;
  const checks: Check[] = [];
  const add = (check: Check) => {
    checks.push(check);
    output.print(...renderCheck(check));
  };
  const checking: CheckContext = {
    ...context,
    add,
    check: async (name, work) => {
      const check = await runCheck(name, signal, work);
      add(check);
      return check;
    },
  };
  const settings = config.instances.map(describeInstance).join('; ');
  add({ name: 'settings', message: settings, hint: null, error: null });
  // A secret shows only where it is.
  const rows = config.origins.map(({ name, value, from }) => [`  ${name}`, value, styled('dim', from)]);
  output.print(...renderTable({ rows }));
  const database = await checkDatabase(checking);
  const onOrg = showOrgs(context);
  const probes: ProbeAnswer[] = [];
  try {
    for (const instance of config.instances) {
      const checked = await checkInstance(checking, { instance, database, onOrg, ...options });
      if (!options.probe || !checked) continue;
      const answers = await probeInstance(checked);
      probes.push(...answers);
      output.print(...renderProbe(instance.instanceId, answers));
    }
  } finally {
    await database.handle?.close();
  }
  const { heartbeatUrl } = config;
  if (heartbeatUrl !== null) await checking.check('heartbeat', () => checkHeartbeat(heartbeatUrl));
  const failed = checks.filter(({ error }) => error !== null);
  const exitCode = worstExitCode(failed.map(({ error }) => exitCodeOf(error)));
  output.printJson({
    ok: exitCode === EXIT.ok,
    settings: config.origins,
    checks: checks.map(({ name, message, hint, error }) => ({ name, ok: error === null, message, hint })),
    ...(options.probe && { probe: probes }),
  });
  if (failed.length === 0) output.print(styled('green', 'Everything works.'));
  else
    output.print(
      styled('red', failed.length === 1 ? 'One check failed.' : `${failed.length} checks failed.`),
    );
  return exitCode;
}

/** `checkHeartbeat` asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
export async function checkHeartbeat(url: string): Promise<Finding> {
  const answer = await probeHeartbeat(url);
  if (typeof answer === 'string') {
    const message = `the monitor of HEARTBEAT_URL does not answer: ${answer}`;
    throw new CheckError('invalid', message, 'check the address and the network');
  }
  if (isGood(answer)) return { message: 'the monitor answers' };
  const hint =
    'with Healthchecks the id is wrong; another monitor may not know /log, which changes nothing there: see whether the next run arrives';
  return { message: `the monitor answers HTTP ${answer}`, hint };
}

/** `showOrgs` shows the progress as lines also on a terminal: failures are printed in between. */
function showOrgs(context: CommandContext): InstanceCheck['onOrg'] {
  const terminal = { ...context, output: { ...context.output, isTerminal: false } };
  const progress = createProgress(terminal, { rate: ORGS_PER_SECOND, noun: 'organization' });
  return (done, total) => {
    if (done === 1) progress.start(total);
    progress.show(done);
  };
}

function describeInstance({ instanceId, apiUrl, orgs, streams }: InstanceConfig): string {
  const isRules =
    orgs.kind === 'all' && (orgs.names !== null || orgs.tags !== null || orgs.exclude.length > 0);
  const every = isRules ? 'organizations by rules' : 'all organizations';
  const which = orgs.kind === 'ids' ? count(orgs.orgIds.length, 'organization') : every;
  return `instance ${instanceId} at ${apiUrl}, ${which}, ${streams.join(', ')}`;
}

const INDENT = ' '.repeat(10);

function renderCheck({ name, message, hint, error }: Check): Line[] {
  // Losant's errors begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((each) => `${INDENT}${each}`);
  const good = hint === null ? styled('green', 'ok    ') : styled('yellow', 'look  ');
  return [line`${error === null ? good : styled('red', 'FAILED')}  ${shown}`, ...hints];
}

function renderProbe(instanceId: string, answers: readonly ProbeAnswer[]): Line[] {
  const rows = answers.flatMap(({ question, answer, touches }) => [
    [question, answer],
    ['', styled('dim', `touches ${touches}`)],
  ]);
  return ['', `How the API of instance ${instanceId} behaves:`, ...renderTable({ rows }), ''];
}
