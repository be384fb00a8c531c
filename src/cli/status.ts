import { EXIT } from '../exit.ts';
import { type Freshness, readFreshness } from '../queries/freshness.ts';
import { type InstanceStatus, readInstances } from '../queries/instances.ts';
import { type RunSummary, readLastRuns } from '../queries/runs.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showDistance, showDuration, showInstant, showNumber } from '../terminal/words.ts';

import { defineCommand } from './command.ts';
import { withDatabase } from './open-database.ts';

const RUNS_SHOWN = 5;

export const status = defineCommand({
  needs: 'database',
  options: {},
  examples: () => [{ args: 'status', does: 'is everything there?' }],
  async run(context) {
    const { output, hostNow } = context;
    const instances = await withDatabase(context, async ({ db }) => {
      const streams = await readFreshness(db);
      const runs = await readLastRuns(db, RUNS_SHOWN);
      return (await readInstances(db)).map((instance): InstanceReport => {
        const isOwn = ({ instanceId }: { instanceId: string }) => instanceId === instance.instanceId;
        return { ...instance, streams: streams.filter(isOwn), runs: runs.filter(isOwn) };
      });
    });
    const gaps = countGaps(instances.flatMap(({ streams }) => streams));
    if (output.json) output.printJson({ gaps, instances });
    else output.print(...renderStatus(instances, hostNow()));
    return gaps > 0 ? EXIT.incomplete : EXIT.ok;
  },
});

/** All that is said of one instance. */
export interface InstanceReport extends InstanceStatus {
  readonly streams: readonly Freshness[];
  readonly runs: readonly RunSummary[];
}

function countGaps(streams: readonly Freshness[]): number {
  return streams.reduce((sum, stream) => sum + stream.gaps, 0);
}

export function renderStatus(instances: readonly InstanceReport[], nowMs: number): Line[] {
  if (instances.length === 0) return ['Nothing has been exported yet. Start with: losant-usage run'];
  return instances.flatMap((instance, index) => [
    ...(index === 0 ? [] : ['']),
    ...renderInstance(instance, nowMs),
  ]);
}

function renderInstance(instance: InstanceReport, nowMs: number): Line[] {
  const { instanceId, lease, quarantined, restatedFinal30Days: restated, streams, runs } = instance;
  const lines: Line[] = [line`Instance ${styled('bold', instanceId)}`];
  lines.push(
    ...renderTable({
      head: ['stream', 'organizations', 'newest', 'complete to', 'missing'],
      rows: streams.map(renderStream),
      right: [1],
    }),
    lease
      ? `  exported now${lease.host === null ? '' : ` by ${lease.host}`}, since ${showInstant(lease.since)} (${showDistance(Date.parse(lease.since) - nowMs)})`
      : '  idle',
  );
  if (quarantined > 0) lines.push(`  ${count(quarantined, 'answer')} in quarantine`);
  if (restated > 0) {
    const numbers = `${count(restated, 'final number')} ${restated === 1 ? 'was' : 'were'} restated`;
    lines.push(line`  ${styled('yellow', numbers)} in the last 30 days: see the view restatements`);
  }
  if (runs.length === 0) lines.push('  no runs on record');
  else lines.push('  last runs:', ...renderTable({ rows: runs.map(renderRun), indent: 4 }));
  if (countGaps(streams) > 0) lines.push('  Next: losant-usage gaps lists what is missing, and why');
  return lines;
}

function renderStream({ stream, newestDay, completeTo, gaps, ...missing }: Freshness): Line[] {
  const where =
    gaps === 0
      ? styled('green', 'nothing')
      : styled(
          'red',
          `${count(gaps, 'number')} of ${count(missing.orgsWithGaps, 'organization')} since ${missing.oldestGap}`,
        );
  return [stream, renderOrgs(missing), newestDay ?? 'nothing yet', completeTo ?? 'no day', where];
}

/** How many there are, and of how many nothing is missing where that is not all of them. */
function renderOrgs({ orgs, orgsComplete }: Pick<Freshness, 'orgs' | 'orgsComplete'>): string {
  if (orgsComplete >= orgs) return showNumber(orgs);
  return `${showNumber(orgsComplete)} of ${showNumber(orgs)} complete`;
}

function renderRun(run: RunSummary): Line[] {
  const { startedAt, finishedAt, from, to } = run;
  const took =
    finishedAt === null ? 'still running' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt));
  const days = from === null || to === null ? '' : showDays({ from, to });
  return [showInstant(startedAt), days, took, renderRunEnd(run)];
}

const KINDS: Readonly<Record<RunSummary['kind'], string>> = {
  scheduled: 'scheduled run',
  manual: 'run',
  backfill: 'backfill',
};

/** How a run ended, in a sentence. */
function renderRunEnd({ kind, status, cells, error }: RunSummary): Line {
  const what = KINDS[kind];
  const numbers = count(cells.planned, 'number');
  switch (status) {
    case 'running':
      return `${what}: ${numbers} so far`;
    case 'complete':
      return line`${what}: ${styled('green', 'complete')}, ${numbers}`;
    case 'partial': {
      const trouble = [
        cells.failed > 0 ? `${count(cells.failed, 'number')} failed` : null,
        cells.quarantined > 0 ? `${cells.quarantined} in quarantine` : null,
      ].filter((part) => part !== null);
      return line`${what}: ${styled('yellow', 'incomplete')}, ${[numbers, ...trouble].join(', ')}`;
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
