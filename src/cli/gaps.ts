import { EXIT } from '../errors.ts';
import { waiveCells } from '../ledger/waive.ts';
import { withoutIdsAndDays } from '../loading/report.ts';
import { type Gap, type NeverReadInstance, readGaps, readNeverReadInstances } from '../queries/gaps.ts';
import { formatTable } from '../terminal/text.ts';
import { count, showDays, showInstant, showWhen } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema, selectInstanceIds } from './database.ts';
import {
  days,
  flagOption,
  orgOption,
  reason,
  requiredOption,
  requireEndedDays,
  streamsOption,
} from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: flagOption('also list unavailable and waived cells, which are not gaps') },
  async run(context, { all }) {
    await using handle = await openSchema(context);
    const instanceIds = await selectInstanceIds(context, handle);
    const cells = await readGaps(handle.db, { instanceIds, includeResolved: all });
    const neverRead = await readNeverReadInstances(handle.db, instanceIds);
    const isIncomplete = neverRead.length > 0 || cells.some(({ standing }) => isGap(standing));
    return {
      document: [...neverRead.map(toGap), ...cells.map(({ orgName: _, ...gap }) => gap)],
      lines: [...neverRead.flatMap(formatNeverRead), ...renderGaps(cells, neverRead, context.hostNow())],
      exitCode: isIncomplete ? EXIT.incomplete : EXIT.ok,
    };
  },
});

/** Returns an instance that was never read as a gap without an organization, a stream and a day. */
function toGap({ instanceId, lastError }: NeverReadInstance) {
  const noCell = { orgId: null, stream: null, day: null, nextReadAt: null };
  return { instanceId, standing: 'missing', reason: 'never_read', detail: lastError, ...noCell };
}

/** Formats that an instance was never read, and why its last run failed. */
export function formatNeverRead({ instanceId, neverReadSince, lastError }: NeverReadInstance): string[] {
  return [
    `Instance ${instanceId} was never read; the first attempt was ${showInstant(neverReadSince)}.`,
    `  ${lastError === null ? 'No run has read anything yet.' : `The last run failed: ${lastError}`}`,
    '  To see what is wrong: losant-usage check',
  ];
}

/** The rows of a cause shown to people; `--json` has all. */
const MAX_TABLE_ROWS = 100;

export function renderGaps(
  cells: readonly Gap[],
  neverRead: readonly NeverReadInstance[],
  nowMs: number,
): string[] {
  const missing = cells.filter(({ standing }) => isGap(standing));
  const resolved = cells.filter(({ standing }) => !isGap(standing));
  const lines: string[] = [];
  if (missing.length > 0) {
    lines.push(`${countCells(missing)} missing or in doubt.`, ...renderCauses(missing, nowMs));
  } else if (neverRead.length === 0) lines.push('No gaps.');
  if (resolved.length > 0) {
    lines.push('', `${countCells(resolved)} waived or unavailable.`, ...renderCauses(resolved, nowMs));
  }
  const example = cells.find(({ standing }) => standing !== 'waived');
  if (example !== undefined) {
    const { orgId, stream: name, day } = example;
    lines.push('', 'To see one in detail, with commands that help:');
    lines.push(`  losant-usage explain --org ${orgId} --day ${day} --stream ${name}`);
  }
  return lines;
}

function countCells(cells: readonly Gap[]): string {
  const orgs = new Set(cells.map(({ orgId }) => orgId)).size;
  return `${count(cells.length, 'cell')} of ${count(orgs, 'organization')} ${cells.length === 1 ? 'is' : 'are'}`;
}

/** Renders the most frequent cause first, and merges the days of each stream of an organization. */
function renderCauses(cells: readonly Gap[], nowMs: number): string[] {
  const byCause = Map.groupBy(cells, ({ standing, reason: code, detail }) => {
    // Details that differ only in IDs and days are grouped. A person's reason stays unchanged.
    const shared = standing === 'waived' ? detail : detail && withoutIdsAndDays(detail);
    return `${STANDINGS[standing].label}: ${shared === null ? code : `${code}, ${shared}`}`;
  });
  const causes = [...byCause].toSorted(([, a], [, b]) => b.length - a.length);
  return causes.flatMap(([cause, causeCells]) => {
    const tracks = Map.groupBy(
      causeCells,
      (gap) => `${gap.orgId} ${gap.stream} ${describeRetry(gap, nowMs)}`,
    );
    const rows = [...tracks.values()].flatMap((trackCells) => {
      const [first] = trackCells;
      if (first === undefined) return [];
      const track = [first.stream, describeRetry(first, nowMs), first.orgId, first.orgName];
      const ranges = mergeDays(trackCells.map(({ day }) => day));
      return ranges.toReversed().map((range) => [showDays(range), ...track]);
    });
    const head = `${cause} (${count(causeCells.length, 'cell')})`;
    return ['', head, ...formatTable({ rows, most: MAX_TABLE_ROWS })];
  });
}

function describeRetry({ standing, nextReadAt }: Gap, nowMs: number): string {
  if (!isGap(standing)) return '';
  if (nextReadAt === null) return 'no automatic retry';
  return Date.parse(nextReadAt) <= nowMs ? 'next run' : `next retry ${showWhen(nextReadAt, nowMs)}`;
}

export const waive = defineCommand({
  needs: ['database'],
  role: 'losant_usage_writer',
  options: {
    org: orgOption,
    day: requiredOption('YYYY-MM-DD[..YYYY-MM-DD]', 'a day, or a range of days', days),
    stream: streamsOption,
    reason: requiredOption('TEXT', 'the reason, shown to whoever bills', reason),
  },
  async run(context, { org: orgId, day: range, stream: streamNames, reason: waiverReason }) {
    const { config, hostNow } = context;
    requireEndedDays(range, ['--day', '--day'], hostNow());
    const waiver = { orgId, streams: streamNames, range, reason: waiverReason, policy: config.policy };
    await using handle = await openSchema(context, { writes: true });
    const waivedCells = await waiveCells(handle.db, waiver);
    const cells = waivedCells.map(({ stream, day }) => ({ stream, day }));
    const rows = [...Map.groupBy(cells, ({ stream }) => stream)].map(([stream, streamCells]) => {
      const ranges = mergeDays(streamCells.map(({ day }) => day)).map(showDays);
      return [stream, ranges.join(', ')];
    });
    const head = `Waived ${count(cells.length, 'cell')} of organization ${orgId}:`;
    return {
      document: { orgId, reason: waiverReason, cells },
      lines: [head, ...formatTable({ rows }), 'A later good read lifts the waiver.'],
    };
  },
});
