import { EXIT } from '../errors.ts';
import {
  type Health,
  type InstanceHealth,
  type RunRecord,
  readHealth,
  type StreamHealth,
} from '../queries/health.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showInstant, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { isGap, STANDINGS, standings, sumStandings, worstOf } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { chooseJudged } from './instances.ts';
import { withDatabase } from './open-database.ts';

export const status = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    const { output, hostNow } = context;
    const health = await withDatabase(context, async (handle) => {
      const instanceIds = await chooseJudged(context, handle);
      return await readHealth(handle.db, { nowMs: hostNow(), instanceIds });
    });
    output.printJson(health);
    output.print(...renderStatus(health, hostNow()));
    const isComplete = health.gaps === 0 && health.instances.every(({ listProblem }) => listProblem === null);
    return isComplete ? EXIT.ok : EXIT.incomplete;
  },
});

export function renderStatus({ instances, runs, notInSettings }: Health, nowMs: number): Line[] {
  const shown = instances.flatMap((instance, index) => {
    const own = runs.filter(({ instanceId }) => instanceId === instance.instanceId);
    return [...(index === 0 ? [] : ['']), ...renderInstance(instance, own, nowMs)];
  });
  const others = notInSettings.flatMap((id) => [
    '',
    `Instance ${id} is in the database and not in the settings: it is not judged.`,
    'To end it, unless another program has it:',
    `  losant-usage run --end ${id}`,
  ]);
  const nothing = 'Nothing has been exported yet. Start with: losant-usage run';
  return [...(instances.length === 0 ? [nothing] : shown), ...others];
}

function renderInstance(instance: InstanceHealth, runs: readonly RunRecord[], nowMs: number): Line[] {
  const { instanceId, leaseSince, finalChanges30Days: changed, listProblem, streams } = instance;
  const head = ['stream', 'organizations', 'newest', 'complete to', 'gaps'];
  const sumOf = (key: 'quarantined' | 'failing') => streams.reduce((sum, each) => sum + each[key], 0);
  const [quarantined, failing] = [sumOf('quarantined'), sumOf('failing')];
  const exported = `  exported now, since ${showInstant(leaseSince ?? '')}`;
  const maybe = styled('red', 'organizations may be missing');
  const incomplete = line`  ${maybe}: the list was not complete, ${listProblem ?? ''}`;
  const restated = `  ${count(changed, 'final number')} changed in the last 30 days: see the view restatements`;
  const facts: readonly (readonly [boolean, Line])[] = [
    [leaseSince !== null, exported],
    [listProblem !== null, incomplete],
    [quarantined > 0, `  ${count(quarantined, 'answer')} in quarantine`],
    [failing > 0, `  reads of ${count(failing, 'stored number')} keep failing`],
    [changed > 0, styled('yellow', restated)],
    [streams.some(({ gaps }) => gaps > 0), '  Next: losant-usage gaps lists the gaps, and why'],
  ];
  return [
    line`Instance ${styled('bold', instanceId)}`,
    line`  ${renderYesterday(streams, nowMs)}`,
    ...(streams.length === 0 ? [] : renderTable({ head, rows: streams.map(renderStream), right: [1] })),
    runs.length === 0 ? '  no runs on record' : '  last runs:',
    ...renderTable({ rows: runs.map(renderRun), indent: 4 }),
    ...facts.flatMap(([isSo, fact]) => (isSo ? [fact] : [])),
  ];
}

function renderYesterday(streams: readonly StreamHealth[], nowMs: number): Line {
  const yesterday = addDays(dayAt(nowMs), -1);
  if (streams.every(({ lastDay }) => lastDay === null || lastDay < yesterday)) {
    return `Yesterday, ${yesterday}, is not wanted.`;
  }
  const open = sumStandings(streams.map((stream) => stream.yesterday));
  const worst = worstOf(open);
  if (worst === null) return line`Yesterday, ${yesterday}, is ${styled('green', 'complete')}.`;
  const counts = standings
    .toReversed()
    .filter((standing) => open[standing] > 0)
    .map((standing) => `${showNumber(open[standing])} ${STANDINGS[standing].label}`);
  const state = styled(isGap(worst) ? 'red' : 'yellow', 'not complete');
  return line`Yesterday, ${yesterday}, is ${state}: ${counts.join(', ')}.`;
}

function renderStream({ stream, lastDay, completeTo, gaps, ...rest }: StreamHealth): Line[] {
  const { orgs, orgsComplete, orgsWithGaps, oldestGap } = rest;
  const complete = `${showNumber(orgsComplete)} of ${showNumber(orgs)} complete`;
  const some = `${count(gaps, 'number')} of ${count(orgsWithGaps, 'organization')} since ${oldestGap}`;
  const where = gaps === 0 ? styled('green', 'none') : styled('red', some);
  const shown = orgsComplete >= orgs ? showNumber(orgs) : complete;
  return [stream, shown, lastDay ?? 'nothing yet', completeTo ?? 'no day', where];
}

function renderRun({
  kind,
  status: state,
  startedAt,
  finishedAt,
  from,
  to,
  counts,
  error,
}: RunRecord): Line[] {
  const { planned = 0, failed = 0, quarantined = 0 } = counts.cells ?? {};
  const what = [
    count(planned, 'number'),
    failed > 0 ? `${showNumber(failed)} failed` : '',
    quarantined > 0 ? `${showNumber(quarantined)} in quarantine` : '',
    error ?? '',
  ];
  return [
    showInstant(startedAt),
    from === null || to === null ? '' : showDays({ from, to }),
    finishedAt === null ? '' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt)),
    kind,
    state === 'complete' ? styled('green', state) : styled('yellow', state),
    what.filter((part) => part !== '').join(', '),
  ];
}
