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
import { chooseJudged } from './instances.ts';
import { withDatabase } from './open-database.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  examples: () => ({ status: 'is everything there?' }),
  async run(context) {
    const { output, hostNow } = context;
    const health = await withDatabase(context, async (handle) => {
      return await readHealth(handle.db, {
        nowMs: hostNow(),
        instanceIds: await chooseJudged(context, handle),
      });
    });
    output.printJson(health);
    output.print(...renderStatus(health, hostNow()));
    const isComplete = health.gaps === 0 && health.instances.every(({ listProblem }) => listProblem === null);
    return isComplete ? EXIT.ok : EXIT.incomplete;
  },
});

export function renderStatus({ instances, runs, notInSettings }: Health, nowMs: number): Line[] {
  const others = notInSettings.flatMap((id) => [
    '',
    `Instance ${id} is in the database and not in the settings: it is not judged.`,
    'To end it, unless another program has it:',
    `  losant-usage run --end ${id}`,
  ]);
  if (instances.length === 0)
    return ['Nothing has been exported yet. Start with: losant-usage run', ...others];
  const lines = instances.flatMap((instance, index) => {
    const own = runs.filter(({ instanceId }) => instanceId === instance.instanceId);
    return [...(index === 0 ? [] : ['']), ...renderInstance(instance, own, nowMs)];
  });
  return [...lines, ...others];
}

function renderInstance(instance: InstanceHealth, runs: readonly RunRecord[], nowMs: number): Line[] {
  const { instanceId, leaseSince, finalChanges30Days: changed, listProblem, streams } = instance;
  const head = ['stream', 'organizations', 'newest', 'complete to', 'gaps'];
  const lines: Line[] = [
    line`Instance ${styled('bold', instanceId)}`,
    line`  ${renderYesterday(streams, nowMs)}`,
    ...(streams.length === 0 ? [] : renderTable({ head, rows: streams.map(renderStream), right: [1] })),
  ];
  if (leaseSince === null) lines.push('  idle');
  else {
    const since = `${showInstant(leaseSince)} (${showDistance(Date.parse(leaseSince) - nowMs)})`;
    lines.push(`  exported now, since ${since}`);
  }
  if (listProblem !== null) {
    const what = styled('red', 'organizations may be missing');
    lines.push(line`  ${what}: the list was not complete, ${listProblem}`);
  }
  const sumOf = (key: 'quarantined' | 'failing') => streams.reduce((sum, each) => sum + each[key], 0);
  if (sumOf('quarantined') > 0) lines.push(`  ${count(sumOf('quarantined'), 'answer')} in quarantine`);
  if (sumOf('failing') > 0) lines.push(`  reads of ${count(sumOf('failing'), 'stored number')} keep failing`);
  if (changed > 0) {
    const numbers = `${count(changed, 'final number')} changed`;
    lines.push(line`  ${styled('yellow', numbers)} in the last 30 days: see the view restatements`);
  }
  if (runs.length === 0) lines.push('  no runs on record');
  else lines.push('  last runs:', ...renderTable({ rows: runs.map(renderRun), indent: 4 }));
  if (streams.some(({ gaps }) => gaps > 0)) lines.push('  Next: losant-usage gaps lists the gaps, and why');
  return lines;
}

function renderYesterday(streams: readonly StreamHealth[], nowMs: number): Line {
  const yesterday = addDays(dayAt(nowMs), -1);
  if (streams.every(({ lastDay }) => lastDay === null || lastDay < yesterday)) {
    return `Yesterday, ${yesterday}, is not wanted.`;
  }
  const open = sumStandings(streams.map((stream) => stream.yesterday));
  const worst = worstOf(open);
  if (worst === null) return line`Yesterday, ${yesterday}, is ${styled('green', 'complete')}.`;
  const tone = isGap(worst) ? 'red' : 'yellow';
  return line`Yesterday, ${yesterday}, is ${styled(tone, 'not complete')}: ${describeCounts(open)}.`;
}

/** Describes counts, worst first: `3 missing, 2 waiting`. */
function describeCounts(counts: StandingCounts): string {
  return standings
    .toReversed()
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `${showNumber(counts[standing])} ${STANDINGS[standing].label}`)
    .join(', ');
}

function renderStream({ stream, lastDay, completeTo, gaps, ...rest }: StreamHealth): Line[] {
  const { orgs, orgsComplete, orgsWithGaps, oldestGap } = rest;
  const complete = `${showNumber(orgsComplete)} of ${showNumber(orgs)} complete`;
  const some = `${count(gaps, 'number')} of ${count(orgsWithGaps, 'organization')} since ${oldestGap}`;
  const where = gaps === 0 ? styled('green', 'none') : styled('red', some);
  const shown = orgsComplete >= orgs ? showNumber(orgs) : complete;
  return [stream, shown, lastDay ?? 'nothing yet', completeTo ?? 'no day', where];
}

function renderRun(run: RunRecord): Line[] {
  const { startedAt, finishedAt, from, to } = run;
  const tookMs = finishedAt === null ? null : Date.parse(finishedAt) - Date.parse(startedAt);
  const days = from === null || to === null ? '' : showDays({ from, to });
  return [
    showInstant(startedAt),
    days,
    tookMs === null ? 'still running' : showDuration(tookMs),
    renderRunEnd(run),
  ];
}

const KINDS: Readonly<Record<RunRecord['kind'], string>> = {
  scheduled: 'scheduled run',
  manual: 'run',
  backfill: 'backfill',
};

function renderRunEnd({ kind, status: ended, counts: { cells }, error }: RunRecord): Line {
  const what = KINDS[kind];
  const numbers = count(cells?.planned ?? 0, 'number');
  switch (ended) {
    case 'running':
      return `${what}: ${numbers} so far`;
    case 'complete':
      return line`${what}: ${styled('green', 'complete')}, ${numbers}`;
    case 'partial': {
      const lost = cells && cells.failed > 0 ? `, ${count(cells.failed, 'number')} failed` : '';
      const kept = cells && cells.quarantined > 0 ? `, ${cells.quarantined} in quarantine` : '';
      return line`${what}: ${styled('yellow', 'incomplete')}, ${numbers}${lost}${kept}`;
    }
    case 'interrupted': {
      const isByUser = error === 'Interrupted by SIGINT';
      const by = isByUser ? 'stopped by you' : `stopped (${error ?? 'no reason on record'})`;
      return `${what} ${by}: ${numbers} so far; the next run goes on`;
    }
    case 'failed':
      return line`${what}: ${styled('red', 'failed')}: ${error ?? 'no reason on record'}`;
  }
}
