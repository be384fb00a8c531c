import { EXIT, exitCodeOf, worstExitCode } from '../errors.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { isGood, probeHeartbeat } from '../worker/heartbeat.ts';
import { checkDatabase } from './check-database.ts';
import { type Check, CheckError, Checks, type Finding } from './check-finding.ts';
import { checkInstance } from './check-instance.ts';
import { type ProbeAnswer, probeInstance } from './check-probe.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { flag, type OptionValues } from './options.ts';

const options = { probe: flag('also find out what the documentation of the API leaves open') };

export const check = defineCommand({
  needs: ['losant', 'database'],
  options,
  examples: () => ({
    check: 'is everything ready for the first run?',
    'check --probe': 'and how does this API behave where its documentation does not say?',
  }),
  run: checkEverything,
});

/** Goes on after a failure and changes nothing. Returns the exit code of the worst failure. */
async function checkEverything(
  context: CommandContext,
  { probe }: OptionValues<typeof options>,
): Promise<number> {
  const { config, output, signal } = context;
  const checks = new Checks(signal);
  checks.add({ name: 'settings', message: config.instances.map(describeInstance).join('; ') });
  for (const warning of config.warnings)
    checks.add({ name: 'settings', message: warning, hint: 'see docs/settings.md' });
  const database = await checkDatabase(context, checks);
  const probes: ProbeAnswer[] = [];
  try {
    for (const instance of config.instances) {
      const target = await checkInstance(context, checks, { instance, database });
      if (probe && target !== null) probes.push(...(await probeInstance(target)));
    }
  } finally {
    await database.handle?.close();
  }
  const { heartbeatUrl } = config;
  if (heartbeatUrl !== null) await checks.run('heartbeat', () => checkHeartbeat(heartbeatUrl));
  const failed = checks.all.filter(({ error }) => error !== null);
  const exitCode = worstExitCode(failed.map(({ error }) => exitCodeOf(error)));
  output.printJson({
    ok: exitCode === EXIT.ok,
    settings: config.origins,
    checks: checks.all.map(({ error, ...shown }) => ({ ...shown, ok: error === null })),
    ...(probe && { probe: probes }),
  });
  output.print(...renderChecks(checks.all), ...renderSettings(config.origins), ...renderProbe(probes));
  return exitCode;
}

/** Asks whether the monitor of HEARTBEAT_URL answers, without telling it anything. */
export async function checkHeartbeat(url: string): Promise<Finding> {
  const answer = await probeHeartbeat(url);
  if (typeof answer === 'string') {
    const message = `the monitor of HEARTBEAT_URL does not answer: ${answer}`;
    throw new CheckError('invalid', message, 'check the address and the network');
  }
  if (isGood(answer)) return { message: 'the monitor answers' };
  const hint =
    'with Healthchecks the id is wrong; another monitor may not know /log, which changes nothing there: ' +
    'see whether the next run arrives';
  return { message: `the monitor answers HTTP ${answer}`, hint };
}

function describeInstance({ instanceId, apiUrl, orgs, streams }: InstanceConfig): string {
  const which = orgs.kind === 'ids' ? count(orgs.orgIds.length, 'organization') : 'all organizations';
  return `instance ${instanceId} at ${apiUrl}, ${which}, ${streams.join(', ')}`;
}

const INDENT = ' '.repeat(10);

/** Renders what is wrong first, then what to look at, then what is right. */
function renderChecks(checks: readonly Check[]): Line[] {
  const failed = checks.filter(({ error }) => error !== null);
  const good = checks.filter(({ error }) => error === null);
  const verdict = failed.length === 1 ? 'One check failed.' : `${failed.length} checks failed.`;
  return [
    failed.length === 0 ? styled('green', 'Everything works.') : styled('red', verdict),
    ...failed.flatMap(renderCheck),
    ...good.filter(({ hint }) => hint !== null).flatMap(renderCheck),
    ...good.filter(({ hint }) => hint === null).flatMap(renderCheck),
  ];
}

function renderCheck({ name, message, hint, error }: Check): Line[] {
  // Losant's errors begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((each) => `${INDENT}${each}`);
  const good = hint === null ? styled('green', 'ok    ') : styled('yellow', 'look  ');
  return [line`${error === null ? good : styled('red', 'FAILED')}  ${shown}`, ...hints];
}

function renderSettings(origins: CommandContext['config']['origins']): Line[] {
  // A secret shows only where it is.
  const rows = origins.map(({ name, value, from }) => [name, value, styled('dim', from)]);
  return ['', 'The settings that hold for all instances:', ...renderTable({ rows })];
}

function renderProbe(answers: readonly ProbeAnswer[]): Line[] {
  if (answers.length === 0) return [];
  const rows = answers.map(({ question, answer, touches }): Line[] => [
    question,
    answer,
    styled('dim', touches),
  ]);
  return ['', 'How the API behaves, and what that touches:', ...renderTable({ rows })];
}
