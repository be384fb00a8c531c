import { EXIT } from '../exit.ts';
import { type Freshness, readFreshness } from '../database/read/freshness.ts';
import { type InstanceStatus, readInstances } from '../database/read/instances.ts';
import { type RunSummary, readLastRuns } from '../database/read/runs.ts';
import { type CommandContext, printJson } from './command.ts';
import { withDatabase } from './read.ts';

const RUNS_SHOWN = 5;

/** `status`: how far the numbers reach, the last runs, and who exports now. */
export async function statusCommand(context: CommandContext): Promise<number> {
  const { output } = context;
  const status = await withDatabase(context, async ({ db }) => ({
    instances: await readInstances(db),
    streams: await readFreshness(db),
    runs: await readLastRuns(db, RUNS_SHOWN),
  }));
  const gaps = status.streams.reduce((sum, stream) => sum + stream.gaps, 0);
  if (output.json) printJson(output, { gaps, instances: status.instances.map((each) => join(each, status)) });
  else output.write(render(status.instances.map((each) => join(each, status))));
  return gaps > 0 ? EXIT.incomplete : EXIT.ok;
}

interface InstanceReport extends InstanceStatus {
  readonly streams: readonly Freshness[];
  readonly runs: readonly RunSummary[];
}

function join(
  instance: InstanceStatus,
  { streams, runs }: { streams: readonly Freshness[]; runs: readonly RunSummary[] },
): InstanceReport {
  const isOwn = ({ instanceId }: { instanceId: string }) => instanceId === instance.instanceId;
  return { ...instance, streams: streams.filter(isOwn), runs: runs.filter(isOwn) };
}

function render(instances: readonly InstanceReport[]): string {
  if (instances.length === 0) return 'Nothing was exported yet: losant-usage run begins.\n';
  return instances.map((instance) => `${renderInstance(instance).join('\n')}\n`).join('\n');
}

function renderInstance({ instanceId, lease, quarantined, streams, runs }: InstanceReport): string[] {
  const gaps = streams.reduce((sum, stream) => sum + stream.gaps, 0);
  const width = Math.max(...streams.map(({ stream }) => stream.length), 0);
  const lines = [`Instance ${instanceId}`];
  for (const { stream, orgs, newestDay, completeTo, ...missing } of streams) {
    const reach = newestDay === null ? 'nothing yet' : `newest ${newestDay}, complete to ${completeTo}`;
    const gapText =
      missing.gaps === 0
        ? 'no gaps'
        : `${missing.gaps} missing in ${missing.orgsWithGaps} of ${orgs} organizations, the oldest of ${missing.oldestGap}`;
    lines.push(`  ${stream.padEnd(width)}  ${reach}, ${gapText}`);
  }
  lines.push(lease ? `  exported now by ${lease.host} since ${lease.since}` : '  no process exports it now');
  if (quarantined > 0) lines.push(`  ${quarantined} answers in quarantine`);
  lines.push(runs.length > 0 ? '  last runs:' : '  no runs on record', ...runs.map(renderRun));
  if (gaps > 0) lines.push('  Next: losant-usage gaps lists what is missing, and why');
  return lines;
}

function renderRun({ startedAt, kind, status, from, to, cells, error }: RunSummary): string {
  const days = from === null ? 'no day' : from === to ? from : `${from}..${to}`;
  const trouble = [
    cells.failed > 0 ? `${cells.failed} failed` : null,
    cells.quarantined > 0 ? `${cells.quarantined} quarantined` : null,
    error,
  ].filter((part) => part !== null);
  const tail = trouble.length > 0 ? `: ${trouble.join(', ')}` : '';
  return `    ${startedAt}  ${kind}, ${status}, ${days}, ${cells.planned} cells${tail}`;
}
