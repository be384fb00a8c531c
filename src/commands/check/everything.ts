import { CheckList, renderCheck } from '../../check/checklist.ts';
import { checkDatabase } from '../../check/database.ts';
import { checkInstance } from '../../check/losant.ts';
import { type ProbeAnswer, probeInstance, renderProbe } from '../../check/probe.ts';
import type { InstanceConfig } from '../../settings/instance.ts';
import { type Line, styled } from '../../terminal/text.ts';
import { count } from '../../terminal/words.ts';
import type { CommandContext } from '../command.ts';

export interface CheckOptions {
  /** Every organization instead of the first. */
  readonly allOrgs: boolean;
  /** Find out what the documentation of the API leaves open. */
  readonly probe: boolean;
}

/**
 * `check`: settings, database, clock, token and scopes, one line each. Changes
 * nothing. Goes on after a failure where that can tell more; returns the exit
 * code of the worst.
 */
export async function checkEverything(context: CommandContext, options: CheckOptions): Promise<number> {
  const { config, output, signal } = context;
  const list = new CheckList({
    signal,
    onCheck: (check) => {
      if (!output.json) output.print(...toLines(renderCheck(check)));
    },
  });
  const message = config.instances.map(describeInstance).join('; ');
  list.note('settings', { message });
  const database = await checkDatabase(context, list);
  const probes: ProbeAnswer[] = [];
  try {
    for (const instance of config.instances) {
      const checked = await checkInstance(context, { instance, database, list, ...options });
      if (!options.probe || !checked) continue;
      const answers = await probeInstance(checked, instance);
      probes.push(...answers);
      if (!output.json) output.print(...toLines(renderProbe(instance.instanceId, answers)));
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

function renderEnd(failed: number): Line {
  if (failed === 0) return styled('green', 'Everything works.');
  return styled('red', failed === 1 ? 'One check failed.' : `${failed} checks failed.`);
}

/** The text of a check, whose line breaks are its own. */
function toLines(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}
