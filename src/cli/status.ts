import { EXIT, isRejection } from '../errors.ts';
import { ATTENTION_KINDS, type AttentionGroup, formatItem } from '../queries/attention.ts';
import { type Health, type RunRecord, readHealth, type StreamHealth } from '../queries/health.ts';
import { formatTable } from '../terminal/text.ts';
import { count, showCode, showDays, showDuration, showInstant, showNumber } from '../terminal/words.ts';
import { addDays } from '../usage/day.ts';
import { countIncomplete, standings, sumStandings } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { formatNeverRead } from './gaps.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    await using handle = await openSchema(context);
    const health = await readHealth(handle.db);
    const { instance, gaps } = health;
    const isComplete =
      gaps === 0 && (instance === null || (instance.listProblem === null && instance.neverReadSince === null));
    const exitCode = isComplete ? EXIT.ok : EXIT.incomplete;
    return { document: health, lines: renderStatus(health), exitCode };
  },
});

function renderStatus(health: Health): string[] {
  const { instance, streams, runs } = health;
  if (instance === null) return ['Nothing has been loaded yet. Start with: losant-usage run'];
  const { neverReadSince, lastError } = instance;
  const head = ['stream', 'organizations', 'last day', 'complete to', 'gaps'];
  return [
    ...(neverReadSince === null ? [renderYesterday(health)] : formatNeverRead(neverReadSince, lastError)),
    ...formatTable({ head, rows: streams.map(renderStream), right: [1] }),
    ...renderAttention(health.attention),
    runs.length === 0 ? '  no runs on record' : '  last runs:',
    ...formatTable({ rows: runs.map(renderRun), indent: 4 }),
    ...renderFailures(runs.find(({ finishedAt }) => finishedAt !== null)),
    ...renderRemarks(instance, streams),
  ];
}

function renderRemarks(instance: NonNullable<Health['instance']>, streams: readonly StreamHealth[]): string[] {
  const { leaseAcquiredAt, finalRestatements30Days: restated, listProblem, totalsProblem } = instance;
  const { neverReadSince, lastAttemptAt, lastError } = instance;
  const sumOf = (key: 'quarantined' | 'failing' | 'gaps') => streams.reduce((sum, each) => sum + each[key], 0);
  const [quarantined, failing, gaps] = [sumOf('quarantined'), sumOf('failing'), sumOf('gaps')];
  const remarks = [
    neverReadSince === null && lastError !== null && `  the run of ${showInstant(lastAttemptAt)} failed: ${lastError}`,
    leaseAcquiredAt !== null && `  run in progress since ${showInstant(leaseAcquiredAt)}`,
    listProblem !== null && `  organizations may be missing, because the last list was incomplete: ${listProblem}`,
    totalsProblem !== null && `  Losant's totals could not be read: ${totalsProblem}`,
    quarantined > 0 && `  ${count(quarantined, 'cell')} whose last response was quarantined`,
    failing > 0 && `  ${count(failing, 'stored cell')} whose reads keep failing`,
    restated > 0 && `  ${count(restated, 'final cell')} restated in the last 30 days (see the view restatements)`,
    gaps > 0 && '  To list the gaps with their reasons: losant-usage gaps',
  ];
  return remarks.filter((remark) => remark !== false);
}

/**
 * Renders what failed in a run, except what the gaps have as their reasons, and an incomplete list. A rejection of the
 * token or of the scope of a stream is no reason of its cells.
 */
function renderFailures(run: RunRecord | undefined): string[] {
  if (run === undefined) return [];
  const failures = run.failures.filter(
    ({ code, stream }) => isRejection(code) || (stream === null && code !== 'list_incomplete'),
  );
  return failures.map(({ code, stream, example, message }) => {
    const cause = `${code}${stream === null ? '' : ` of ${stream}`}${example === null ? '' : `, such as ${example}`}`;
    return `  the run of ${showInstant(run.startedAt)}: ${cause}: ${message}`;
  });
}

function renderAttention(groups: readonly AttentionGroup[]): string[] {
  if (groups.length === 0) return ['  needs attention: nothing'];
  const rows = groups.flatMap(({ kind, total, items }) => {
    const texts = items.map(formatItem);
    if (total > items.length) texts.push(`and ${showNumber(total - items.length)} more`);
    return texts.map((text, index) => [index === 0 ? ATTENTION_KINDS[kind].label : '', text]);
  });
  return ['  needs attention:', ...formatTable({ rows, indent: 4 })];
}

function renderYesterday({ streams, at }: Health): string {
  const yesterday = addDays(at.slice(0, 10), -1);
  if (streams.every(({ yesterdayExpected }) => yesterdayExpected === 0)) {
    return `No cells are expected for yesterday, ${yesterday}.`;
  }
  const standingCounts = sumStandings(streams.map((stream) => stream.yesterday));
  const counts = standings
    .toReversed()
    .filter((standing) => standingCounts[standing] > 0)
    .map((standing) => `${showNumber(standingCounts[standing])} ${showCode(standing)}`);
  const remark = counts.length === 0 ? '' : `: ${counts.join(', ')}`;
  return `Yesterday, ${yesterday}, is ${countIncomplete(standingCounts) === 0 ? 'complete' : 'incomplete'}${remark}.`;
}

function renderStream(each: StreamHealth): string[] {
  const { stream, lastDay, completeTo, gaps, orgs, orgsComplete, orgsWithGaps, oldestGap } = each;
  const total = showNumber(orgs);
  const gapSummary = `${count(gaps, 'cell')} of ${count(orgsWithGaps, 'organization')} since ${oldestGap}`;
  return [
    stream,
    orgsComplete >= orgs ? total : `${showNumber(orgsComplete)} of ${total} complete`,
    lastDay,
    completeTo ?? 'none',
    gaps === 0 ? 'none' : gapSummary,
  ];
}

function renderRun(run: RunRecord): string[] {
  const { startedAt, finishedAt, from, to, error } = run;
  const { planned = 0, failed = 0, quarantined = 0 } = run.counts.cells ?? {};
  const facts = [count(planned, 'cell')];
  if (failed > 0) facts.push(`${showNumber(failed)} failed`);
  if (quarantined > 0) facts.push(`${showNumber(quarantined)} quarantined`);
  if (error !== null) facts.push(error);
  return [
    showInstant(startedAt),
    from === null || to === null ? '' : showDays({ from, to }),
    finishedAt === null ? '' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt)),
    run.kind,
    run.status,
    facts.join(', '),
  ];
}
