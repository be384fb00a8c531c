import { readNowMs } from '../database/session.ts';
import { readDigest, showDigest } from '../digest/digest.ts';
import { EXIT, isRejection } from '../errors.ts';
import { ATTENTION_KINDS, listNames } from '../queries/attention.ts';
import { type Health, type InstanceHealth, type RunRecord, readHealth, type StreamHealth } from '../queries/health.ts';
import { localDayAt } from '../settings/notify-time.ts';
import { formatTable } from '../terminal/text.ts';
import { count, showCode, showDays, showDuration, showInstant, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { countIncomplete, standings, sumStandings } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema, selectInstanceIds } from './database.ts';
import { formatNeverRead } from './gaps.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    await using handle = await openSchema(context);
    const nowMs = await readNowMs(handle);
    const instanceIds = await selectInstanceIds(context, handle);
    const health = await readHealth(handle.db, { nowMs, instanceIds });
    const isComplete =
      health.gaps === 0 &&
      health.untriedInstances.length === 0 &&
      health.instances.every((each) => each.listProblem === null && each.neverReadSince === null);
    const exitCode = isComplete ? EXIT.ok : EXIT.incomplete;
    return { document: health, lines: renderStatus(health, nowMs), exitCode };
  },
});

function renderStatus({ instances, runs, untriedInstances, unconfiguredInstances }: Health, nowMs: number): string[] {
  const sections = [
    ...instances.map((instance) => {
      const instanceRuns = runs.filter(({ instanceId }) => instanceId === instance.instanceId);
      return renderInstance(instance, instanceRuns, nowMs);
    }),
    ...untriedInstances.map((instanceId) => formatNeverRead({ instanceId, neverReadSince: null, lastError: null })),
    ...unconfiguredInstances.map((id) => [
      `Instance ${id} is in the database but not in the settings, so it is not monitored.`,
      'To retire it, unless another deployment loads it:',
      `  losant-usage retire --instance ${id}`,
    ]),
  ];
  if (sections.length === 0) return ['Nothing has been loaded yet. Start with: losant-usage run'];
  return sections.flatMap((section, index) => (index === 0 ? section : ['', ...section]));
}

function renderInstance(instance: InstanceHealth, runs: readonly RunRecord[], nowMs: number): string[] {
  const { leaseAcquiredAt, finalRestatements30Days: restated, listProblem, neverReadSince, streams } = instance;
  const { lastAttemptAt, lastError } = instance;
  const head = ['stream', 'organizations', 'last day', 'complete to', 'gaps'];
  const sumOf = (key: 'quarantined' | 'failing' | 'gaps') => streams.reduce((sum, each) => sum + each[key], 0);
  const [quarantined, failing, gaps] = [sumOf('quarantined'), sumOf('failing'), sumOf('gaps')];
  const remarks = [
    neverReadSince === null &&
      lastAttemptAt !== null &&
      lastError !== null &&
      `  the run of ${showInstant(lastAttemptAt)} failed: ${lastError}`,
    leaseAcquiredAt !== null && `  run in progress since ${showInstant(leaseAcquiredAt)}`,
    listProblem !== null && `  organizations may be missing, because the last list was incomplete: ${listProblem}`,
    quarantined > 0 && `  ${count(quarantined, 'cell')} whose last response was quarantined`,
    failing > 0 && `  ${count(failing, 'stored cell')} whose reads keep failing`,
    restated > 0 && `  ${count(restated, 'final cell')} restated in the last 30 days (see the view restatements)`,
    gaps > 0 && '  To list the gaps with their reasons: losant-usage gaps',
  ];
  return [
    ...(neverReadSince === null
      ? [`Instance ${instance.instanceId}`, `  ${renderYesterday(streams, nowMs)}`]
      : formatNeverRead({ ...instance, neverReadSince })),
    ...formatTable({ head, rows: streams.map(renderStream), right: [1] }),
    ...renderAttention(instance),
    runs.length === 0 ? '  no runs on record' : '  last runs:',
    ...formatTable({ rows: runs.map(renderRun), indent: 4 }),
    ...renderFailures(runs.find(({ finishedAt }) => finishedAt !== null)),
    ...remarks.filter((remark) => remark !== false),
  ];
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

function renderAttention({ attention: { attentionAt, groups }, digest }: InstanceHealth): string[] {
  const rows = groups.map(({ kind, items, texts }) => [ATTENTION_KINDS[kind].label, listNames(texts, items)]);
  const age = attentionAt === null ? null : `as of ${showInstant(attentionAt)}`;
  const lines =
    rows.length === 0
      ? [`  needs attention${age === null ? ': not known yet' : ` (${age}): nothing`}`]
      : [`  needs attention (${age ?? 'not known yet'}):`, ...formatTable({ rows, indent: 4 })];
  if (digest !== null) {
    const outcome = showCode(digest.outcome ?? 'not sent yet');
    lines.push(`  digest of ${digest.day}: ${outcome}${digest.error === null ? '' : ` (${digest.error})`}`);
  }
  return lines;
}

function renderYesterday(streams: readonly StreamHealth[], nowMs: number): string {
  const yesterday = addDays(dayAt(nowMs), -1);
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
    lastDay ?? 'none yet',
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

/** Prints the digest of today as of the last refresh, and changes nothing. */
export const digest = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    await using handle = await openSchema(context);
    // Nothing refreshes what needs attention of a retired instance.
    const retired = handle.db.selectFrom('instances').select('instance_id').where('retired_at', 'is not', null);
    const retiredIds = new Set((await retired.execute()).map(({ instance_id: id }) => id));
    const allIds = await selectInstanceIds(context, handle);
    const instanceIds = allIds.filter((id) => !retiredIds.has(id));
    const day = localDayAt(await readNowMs(handle), context.config.notifyAt);
    const areRetired = allIds.length > 0 && instanceIds.length === 0;
    const document = await readDigest(handle.db, { instanceIds, day, areRetired });
    const ages = document.instances.map(({ instanceId, attentionAt }) =>
      attentionAt === null
        ? `Instance ${instanceId}: not known yet.`
        : `Instance ${instanceId}: as of ${showInstant(attentionAt)}.`,
    );
    const remark = document.isDue ? [] : ['Nothing is new, so the worker sends no message today.'];
    return { document, lines: [...showDigest(document), '', ...ages, ...remark] };
  },
});
