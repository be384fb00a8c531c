import { EXIT } from '../errors.ts';
import {
  type Health,
  type InstanceHealth,
  type RunRecord,
  readHealth,
  type StreamHealth,
} from '../queries/health.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays, showDuration, showInstant, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { STANDINGS, standings, sumStandings } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { chooseJudged, openSchema } from './database.ts';
import { renderNeverRead } from './gaps.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    const nowMs = context.hostNow();
    await using handle = await openSchema(context);
    const instanceIds = await chooseJudged(context, handle);
    const health = await readHealth(handle.db, { nowMs, instanceIds });
    const isComplete =
      health.gaps === 0 &&
      health.instances.every((each) => each.listProblem === null && each.neverReadSince === null);
    const exitCode = isComplete ? EXIT.ok : EXIT.incomplete;
    return { document: health, lines: renderStatus(health, nowMs), exitCode };
  },
});

function renderStatus({ instances, runs, notInSettings }: Health, nowMs: number): string[] {
  const lines: string[] = instances.flatMap((instance, index) => {
    const own = runs.filter(({ instanceId }) => instanceId === instance.instanceId);
    return [...(index === 0 ? [] : ['']), ...renderInstance(instance, own, nowMs)];
  });
  if (instances.length === 0) lines.push('Nothing has been exported yet. Start with: losant-usage run');
  for (const id of notInSettings) {
    lines.push('', `Instance ${id} is in the database and not in the settings: it is not judged.`);
    lines.push('To end it, unless another program has it:', `  losant-usage run --end ${id}`);
  }
  return lines;
}

function renderInstance(instance: InstanceHealth, runs: readonly RunRecord[], nowMs: number): string[] {
  const { leaseSince, finalChanges30Days: changed, listProblem, neverReadSince, streams } = instance;
  const head = ['stream', 'organizations', 'newest', 'complete to', 'gaps'];
  const lines: string[] = [
    ...(neverReadSince === null
      ? [`Instance ${instance.instanceId}`, `  ${renderYesterday(streams, nowMs)}`]
      : renderNeverRead({ ...instance, neverReadSince })),
    ...renderTable({ head, rows: streams.map(renderStream), right: [1] }),
    runs.length === 0 ? '  no runs on record' : '  last runs:',
    ...renderTable({ rows: runs.map(renderRun), indent: 4 }),
  ];
  const sumOf = (key: 'quarantined' | 'failing' | 'gaps') =>
    streams.reduce((sum, each) => sum + each[key], 0);
  if (leaseSince !== null) lines.push(`  exported now, since ${showInstant(leaseSince)}`);
  if (listProblem !== null) {
    lines.push(`  organizations may be missing: the list was not complete, ${listProblem}`);
  }
  if (sumOf('quarantined') > 0) lines.push(`  ${count(sumOf('quarantined'), 'answer')} in quarantine`);
  if (sumOf('failing') > 0) lines.push(`  reads of ${count(sumOf('failing'), 'stored number')} keep failing`);
  if (changed > 0) {
    lines.push(`  ${count(changed, 'final number')} changed in the last 30 days: see the view restatements`);
  }
  if (sumOf('gaps') > 0) lines.push('  Next: losant-usage gaps lists the gaps, and why');
  return lines;
}

function renderYesterday(streams: readonly StreamHealth[], nowMs: number): string {
  const yesterday = addDays(dayAt(nowMs), -1);
  if (streams.every(({ lastDay }) => lastDay === null || lastDay < yesterday)) {
    return `Yesterday, ${yesterday}, is not wanted.`;
  }
  const open = sumStandings(streams.map((stream) => stream.yesterday));
  const counts = standings
    .toReversed()
    .filter((standing) => open[standing] > 0)
    .map((standing) => `${showNumber(open[standing])} ${STANDINGS[standing].label}`);
  const state = counts.length === 0 ? 'complete' : `not complete: ${counts.join(', ')}`;
  return `Yesterday, ${yesterday}, is ${state}.`;
}

function renderStream(each: StreamHealth): string[] {
  const { stream, lastDay, completeTo, gaps, orgs, orgsComplete, orgsWithGaps, oldestGap } = each;
  const all = showNumber(orgs);
  const some = `${count(gaps, 'number')} of ${count(orgsWithGaps, 'organization')} since ${oldestGap}`;
  return [
    stream,
    orgsComplete >= orgs ? all : `${showNumber(orgsComplete)} of ${all} complete`,
    lastDay ?? 'nothing yet',
    completeTo ?? 'no day',
    gaps === 0 ? 'none' : some,
  ];
}

function renderRun(run: RunRecord): string[] {
  const { startedAt, finishedAt, from, to, error } = run;
  const { planned = 0, failed = 0, quarantined = 0 } = run.counts.cells ?? {};
  const what = [count(planned, 'number')];
  if (failed > 0) what.push(`${showNumber(failed)} failed`);
  if (quarantined > 0) what.push(`${showNumber(quarantined)} in quarantine`);
  if (error !== null) what.push(error);
  return [
    showInstant(startedAt),
    from === null || to === null ? '' : showDays({ from, to }),
    finishedAt === null ? '' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt)),
    run.kind,
    run.status,
    what.join(', '),
  ];
}
