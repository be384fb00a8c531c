import { requireApiUrl } from '../database/write/instances.ts';
import { readClock, requireApiClock } from '../export/clock.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import { createProgress } from '../terminal/progress.ts';
import { count } from '../terminal/words.ts';
import { checkInstance } from './check-instance.ts';
import { CheckList } from './check-list.ts';
import { checkDatabase } from './check-postgres.ts';
import { type ProbeAnswer, probeInstance } from './check-probe.ts';
import type { CommandContext } from './command.ts';
import { openDatabase } from './open-database.ts';
import type { CheckContext } from './x-check-context.ts';
import { renderCheck, renderEnd, renderProbe } from './x-check-render.ts';

export interface CheckOptions {
  /** Every organization instead of the first. */
  readonly allOrgs: boolean;
  /** Find out what the documentation of the API leaves open. */
  readonly probe: boolean;
}

/** Organizations a second, as far as can be known: each is asked several questions. */
const ORGS_PER_SECOND = 3;

/**
 * Settings, database, clock, token and scopes, one line each. Changes nothing.
 * Goes on after a failure where that can tell more; returns the exit code of the
 * worst.
 */
export async function checkEverything(context: CommandContext, options: CheckOptions): Promise<number> {
  const { config, output, signal } = context;
  const list = new CheckList({
    signal,
    onCheck: (check) => {
      if (!output.json) output.print(...renderCheck(check));
    },
  });
  list.note('settings', { message: config.instances.map(describeInstance).join('; ') });
  const checkContext = toCheckContext(context);
  const database = await checkDatabase(checkContext, list);
  const probes: ProbeAnswer[] = [];
  try {
    for (const instance of config.instances) {
      const checked = await checkInstance(checkContext, { instance, database, list, ...options });
      if (!options.probe || !checked) continue;
      const answers = await probeInstance(checked, instance);
      probes.push(...answers);
      if (!output.json) output.print(...renderProbe(instance.instanceId, answers));
    }
  } finally {
    await database.handle?.close();
  }
  const { exitCode, checks } = list;
  if (output.json) {
    const probe = options.probe ? { probe: probes } : {};
    output.printJson({ ok: exitCode === 0, checks, ...probe });
  } else output.print(renderEnd(checks.filter(({ ok }) => !ok).length));
  return exitCode;
}

function toCheckContext(context: CommandContext): CheckContext {
  const { output, hostNow } = context;
  // As lines, on a terminal too: failures are printed in between.
  const progress = createProgress({
    output: { ...output, isTerminal: false },
    now: hostNow,
    rate: ORGS_PER_SECOND,
    noun: 'organization',
  });
  return {
    ...context,
    openDatabase: () => openDatabase(context),
    readClock: (handle) => readClock(context, handle),
    requireApiClock,
    requireApiUrl,
    onOrg: (done, total) => {
      if (done === 1) progress.start(total);
      progress.show(done);
    },
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
