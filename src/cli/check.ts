import type { InstanceConfig } from '../settings/config.ts';
import { createProgress } from '../terminal/progress.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, type Span, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { probeHeartbeat } from '../worker/heartbeat.ts';
import { checkInstance, type InstanceCheck } from './check-instance.ts';
import { type Check, CheckError, CheckList, type Finding } from './check-list.ts';
import { checkDatabase } from './check-postgres.ts';
import { type ProbeAnswer, probeInstance } from './check-probe.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { type OptionValues, switchOption } from './options.ts';

const checkOptions = {
  allOrgs: switchOption('ask for every organization, not only the first'),
  probe: switchOption('also find out what the documentation of the API leaves open'),
};

export const check = defineCommand({
  needs: 'losant',
  options: checkOptions,
  examples: () => ({
    check: 'is everything ready for the first run?',
    'check --all-orgs': 'may the token read every organization?',
  }),
  run: checkEverything,
});

/** The expected number of organizations per second, each of which is asked several questions. */
const ORGS_PER_SECOND = 3;

/**
 * `checkEverything` checks settings, database, clock, token and scopes, one line each. Changes nothing.
 * Continues after a failure if that can show more; returns the exit code of the worst failure.
 */
export async function checkEverything(
  context: CommandContext,
  options: OptionValues<typeof checkOptions>,
): Promise<number> {
  const { config, output, signal } = context;
  const list = new CheckList({
    signal,
    onCheck: (check) => {
      if (!output.json) output.print(...renderCheck(check));
    },
  });
  list.note('settings', { message: config.instances.map(describeInstance).join('; ') });
  if (!output.json) output.print(...renderOrigins(config));
  const database = await checkDatabase(context, list);
  const onOrg = showOrgs(context);
  const probes: ProbeAnswer[] = [];
  try {
    for (const instance of config.instances) {
      const checked = await checkInstance(context, { instance, database, list, onOrg, ...options });
      if (!options.probe || !checked) continue;
      const answers = await probeInstance(checked);
      probes.push(...answers);
      if (!output.json) output.print(...renderProbe(instance.instanceId, answers));
    }
  } finally {
    await database.handle?.close();
  }
  const { heartbeatUrl } = config;
  if (heartbeatUrl !== null) await list.run('heartbeat', () => checkHeartbeat(heartbeatUrl));
  const { exitCode, checks } = list;
  if (output.json) {
    const probe = options.probe ? { probe: probes } : {};
    output.printJson({ ok: exitCode === 0, settings: config.origins, checks, ...probe });
  } else output.print(renderEnd(checks.filter(({ ok }) => !ok).length));
  return exitCode;
}

/** `checkHeartbeat` asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
export async function checkHeartbeat(url: string): Promise<Finding<null>> {
  const answer = await probeHeartbeat(url);
  if (typeof answer === 'string') {
    throw new CheckError(
      'invalid',
      `the monitor of HEARTBEAT_URL does not answer: ${answer}`,
      'check the address and the network',
    );
  }
  if (answer >= 200 && answer < 300) return { message: 'the monitor answers', value: null };
  const hint =
    'with Healthchecks the id is wrong; another monitor may not know /log, which changes nothing there: see whether the next run arrives';
  return { message: `the monitor answers HTTP ${answer}`, hint, value: null };
}

/** `showOrgs` shows the progress as lines also on a terminal: failures are printed in between. */
function showOrgs({ output, stderr, hostNow: now }: CommandContext): InstanceCheck['onOrg'] {
  const options = { stderr, now, rate: ORGS_PER_SECOND, noun: 'organization' };
  const progress = createProgress({ output: { ...output, isTerminal: false }, ...options });
  return (done, total) => {
    if (done === 1) progress.start(total);
    progress.show(done);
  };
}

function describeInstance({ instanceId, apiUrl, orgs, streams }: InstanceConfig): string {
  const which = orgs.kind === 'ids' ? count(orgs.orgIds.length, 'organization') : describeRules(orgs);
  return `instance ${instanceId} at ${apiUrl}, ${which}, ${streams.join(', ')}`;
}

function describeRules({
  names,
  tags,
  exclude,
}: Extract<InstanceConfig['orgs'], { readonly kind: 'all' }>): string {
  return names === null && tags === null && exclude.length === 0
    ? 'all organizations'
    : 'organizations by rules';
}

/** Every setting that holds; a secret shows only where it is. */
function renderOrigins({ origins }: CommandContext['config']): Line[] {
  return renderTable({
    rows: origins.map(({ name, value, from }) => [`  ${name}`, value, styled('dim', from)]),
  });
}

const INDENT = ' '.repeat(10);

function renderCheck(check: Check): Line[] {
  const { name, message, hint } = check;
  // Losant's errors begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((each) => `${INDENT}${each}`);
  return [line`${verdictOf(check)}  ${shown}`, ...hints];
}

function verdictOf({ ok, hint }: Check): Span {
  if (!ok) return styled('red', 'FAILED');
  return hint === null ? styled('green', 'ok    ') : styled('yellow', 'look  ');
}

function renderProbe(instanceId: string, answers: readonly ProbeAnswer[]): Line[] {
  const rows = answers.flatMap(({ question, answer, touches }) => [
    [question, answer],
    ['', styled('dim', `touches ${touches}`)],
  ]);
  return ['', `How the API of instance ${instanceId} behaves:`, ...renderTable({ rows }), ''];
}

function renderEnd(failed: number): Line {
  if (failed === 0) return styled('green', 'Everything works.');
  return styled('red', failed === 1 ? 'One check failed.' : `${failed} checks failed.`);
}
