import { EXIT } from '../errors.ts';
import { type Health, type InstanceHealth, readHealth, type StreamHealth } from '../queries/health.ts';
import type { RunRecord } from '../queries/runs.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showDistance, showDuration, showInstant, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import {
  isGap,
  STANDINGS,
  type StandingCounts,
  standings,
  sumStandings,
  worstOf,
} from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { withDatabase } from './open-database.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  examples: () => ({ status: 'is everything there?' }),
  async run(context) {
    const { output, config, hostNow } = context;
    const { horizonDays } = config.policy;
    const health = await withDatabase(context, ({ db }) => readHealth(db, { nowMs: hostNow(), horizonDays }));
    output.printJson(health);
    output.print(...renderStatus(health, hostNow()));
    const isComplete = health.gaps === 0 && health.instances.every(({ listProblem }) => listProblem === null);
    return isComplete ? EXIT.ok : EXIT.incomplete;
  },
});

export function renderStatus({ instances, runs }: Health, nowMs: number): Line[] {
  if (instances.length === 0) return ['Nothing has been exported yet. Start with: losant-usage run'];
  return instances.flatMap((instance, index) => {
    const own = runs.filter(({ instanceId }) => instanceId === instance.instanceId);
    return [...(index === 0 ? [] : ['']), ...renderInstance(instance, own, nowMs)];
  });
}

function renderInstance(instance: InstanceHealth, runs: readonly RunRecord[], nowMs: number): Line[] {
  const { instanceId, lease, quarantined, finalChanges30Days: changed, listProblem, streams } = instance;
  const head = ['stream', 'organizations', 'newest', 'complete to', 'gaps'];
  const lines: Line[] = [
    line`Instance ${styled('bold', instanceId)}`,
    line`  ${renderYesterday(streams, nowMs)}`,
    ...(streams.length === 0 ? [] : renderTable({ head, rows: streams.map(renderStream), right: [1] })),
    lease
      ? `  exported now${lease.host === null ? '' : ` by ${lease.host}`}, since ${showInstant(lease.since)} (${showDistance(Date.parse(lease.since) - nowMs)})`
      : '  idle',
  ];
  if (listProblem !== null) {
    lines.push(
      line`  ${styled('red', 'organizations may be missing')}: the list was not complete, ${listProblem}`,
    );
  }
  if (quarantined > 0) lines.push(`  ${count(quarantined, 'answer')} in quarantine`);
  if (changed > 0) {
    const numbers = `${count(changed, 'final number')} changed`;
    const byHand = instance.finalChangesByHand30Days;
    const how = byHand > 0 ? `, ${showNumber(byHand)} by hand` : '';
    lines.push(line`  ${styled('yellow', numbers)} in the last 30 days${how}: see the view restatements`);
  }
  if (runs.length === 0) lines.push('  no runs on record');
  else lines.push('  last runs:', ...renderTable({ rows: runs.map(renderRun), indent: 4 }));
  if (streams.some(({ gaps }) => gaps > 0)) lines.push('  Next: losant-usage gaps lists the gaps, and why');
  return lines;
}

function renderYesterday(streams: readonly StreamHealth[], nowMs: number): Line {
  const yesterday = addDays(dayAt(nowMs), -1);
  if (streams.every(({ orgsTracked }) => orgsTracked === 0))
    return `Yesterday, ${yesterday}, is not tracked.`;
  const open = sumStandings(streams.map((stream) => stream.yesterday));
  const worst = worstOf(open);
  if (worst === null) return line`Yesterday, ${yesterday}, is ${styled('green', 'complete')}.`;
  const tone = isGap(worst) ? 'red' : 'yellow';
  return line`Yesterday, ${yesterday}, is ${styled(tone, 'not complete')}: ${describeCounts(open)}.`;
}

/** `describeCounts` describes counts, worst first: `3 missing, 2 waiting`. */
function describeCounts(counts: StandingCounts): string {
  return standings
    .toReversed()
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `${showNumber(counts[standing])} ${STANDINGS[standing].label}`)
    .join(', ');
}

function renderStream({ stream, newestDay, completeTo, gaps, ...rest }: StreamHealth): Line[] {
  const { orgsTracked, orgsComplete, orgsWithGaps, oldestGap } = rest;
  const orgs =
    orgsComplete >= orgsTracked
      ? showNumber(orgsTracked)
      : `${showNumber(orgsComplete)} of ${showNumber(orgsTracked)} complete`;
  const some = `${count(gaps, 'number')} of ${count(orgsWithGaps, 'organization')} since ${oldestGap}`;
  const where = gaps === 0 ? styled('green', 'none') : styled('red', some);
  return [stream, orgs, newestDay ?? 'nothing yet', completeTo ?? 'no day', where];
}

function renderRun(run: RunRecord): Line[] {
  const { startedAt, finishedAt, from, to } = run;
  const took =
    finishedAt === null ? 'still running' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt));
  const days = from === null || to === null ? '' : showDays({ from, to });
  return [showInstant(startedAt), days, took, renderRunEnd(run)];
}

const KINDS: Readonly<Record<RunRecord['kind'], string>> = {
  scheduled: 'scheduled run',
  manual: 'run',
  backfill: 'backfill',
};

function renderRunEnd(run: RunRecord): Line {
  const { kind, status, planned, failed, quarantined, error } = run;
  const what = KINDS[kind];
  const numbers = count(planned, 'number');
  switch (status) {
    case 'running':
      return `${what}: ${numbers} so far`;
    case 'complete':
      return line`${what}: ${styled('green', 'complete')}, ${numbers}`;
    case 'partial': {
      const lost = failed > 0 ? `, ${count(failed, 'number')} failed` : '';
      const kept = quarantined > 0 ? `, ${quarantined} in quarantine` : '';
      return line`${what}: ${styled('yellow', 'incomplete')}, ${numbers}${lost}${kept}`;
    }
    case 'interrupted': {
      const by =
        error === 'Interrupted by SIGINT' ? 'stopped by you' : `stopped (${error ?? 'no reason on record'})`;
      const next = kind === 'backfill' ? 'the same command goes on' : 'the next run goes on';
      return `${what} ${by}: ${numbers} so far; ${next}`;
    }
    case 'failed':
      return line`${what}: ${styled('red', 'failed')}: ${error ?? 'no reason on record'}`;
  }
}
