import { EXIT } from '../errors.ts';
import { waiveCells } from '../ledger/waive.ts';
import { withoutIdsAndDays } from '../loading/report.ts';
import { type Gap, readGaps } from '../queries/gaps.ts';
import { formatTable } from '../terminal/text.ts';
import { count, showDays, showWhen } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema, selectInstanceIds } from './database.ts';
import { days, flagOption, org, reason, requiredOption, requireEndedDays, streams } from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: flagOption('also list unavailable and waived cells, which are not gaps') },
  async run(context, { all }) {
    await using handle = await openSchema(context);
    const instanceIds = await selectInstanceIds(context, handle);
    const cells = await readGaps(handle.db, { instanceIds, includeResolved: all });
    return {
      document: cells.map(({ orgName: _, ...gap }) => gap),
      lines: renderGaps(cells, context.hostNow()),
      exitCode: cells.some(({ standing }) => isGap(standing)) ? EXIT.incomplete : EXIT.ok,
    };
  },
});

/** The lines of a cause that are shown to people; `--json` has all. */
const MAX_TABLE_ROWS = 100;

export function renderGaps(found: readonly Gap[], nowMs: number): string[] {
  const missing = found.filter(({ standing }) => isGap(standing));
  const resolved = found.filter(({ standing }) => !isGap(standing));
  const lines: string[] =
    missing.length === 0
      ? ['No gaps.']
      : [`${describe(missing)} missing or in doubt.`, ...renderCauses(missing, nowMs)];
  if (resolved.length > 0) {
    lines.push('', `${describe(resolved)} waived or unavailable.`, ...renderCauses(resolved, nowMs));
  }
  const example = found.find(({ standing }) => standing !== 'waived');
  if (example !== undefined) {
    const { orgId, stream: name, day } = example;
    lines.push('', 'To see one in detail, with commands that help:');
    lines.push(`  losant-usage explain --org ${orgId} --day ${day} --stream ${name}`);
  }
  return lines;
}

function describe(several: readonly Gap[]): string {
  const orgs = new Set(several.map(({ orgId }) => orgId)).size;
  return `${count(several.length, 'cell')} of ${count(orgs, 'organization')} ${several.length === 1 ? 'is' : 'are'}`;
}

/** Renders the most frequent cause first, its days together for each stream of an organization. */
function renderCauses(several: readonly Gap[], nowMs: number): string[] {
  const byCause = Map.groupBy(several, ({ standing, reason: why, detail }) => {
    // Messages that differ only in IDs and days are grouped. A person's reason is left as it is.
    const shared = standing === 'waived' ? detail : detail && withoutIdsAndDays(detail);
    return `${STANDINGS[standing].label}: ${shared === null ? why : `${why}, ${shared}`}`;
  });
  const causes = [...byCause].toSorted(([, a], [, b]) => b.length - a.length);
  return causes.flatMap(([cause, own]) => {
    const tracks = Map.groupBy(own, (gap) => `${gap.orgId} ${gap.stream} ${nextTry(gap, nowMs)}`);
    const rows = [...tracks.values()].flatMap(([first, ...rest]) => {
      if (first === undefined) return [];
      const track = [first.stream, nextTry(first, nowMs), first.orgId, first.orgName];
      const ranges = mergeDays([first, ...rest].map(({ day }) => day));
      return ranges.toReversed().map((range) => [showDays(range), ...track]);
    });
    const head = `${cause} (${count(rows.length, 'cell')})`;
    return ['', head, ...formatTable({ rows, most: MAX_TABLE_ROWS })];
  });
}

function nextTry({ standing, nextReadAt }: Gap, nowMs: number): string {
  if (!isGap(standing)) return '';
  if (nextReadAt === null) return 'no automatic retry';
  return Date.parse(nextReadAt) <= nowMs ? 'next run' : `next retry ${showWhen(nextReadAt, nowMs)}`;
}

export const waive = defineCommand({
  needs: ['database'],
  options: {
    org,
    day: requiredOption('YYYY-MM-DD[..YYYY-MM-DD]', 'a day, or a range of days', days),
    stream: streams,
    reason: requiredOption('TEXT', 'the reason, shown to whoever bills', reason),
  },
  async run(context, { org: orgId, day: range, stream, reason: why }) {
    const { config, hostNow } = context;
    requireEndedDays(range, ['--day', '--day'], hostNow());
    const waiver = { orgId, streams: stream, range, reason: why, policy: config.policy };
    await using handle = await openSchema(context, { writes: true });
    const accepted = await waiveCells(handle.db, waiver);
    const cells = accepted.map(({ stream: name, day }) => ({ stream: name, day }));
    const rows = [...Map.groupBy(cells, ({ stream: name }) => name)].map(([name, own]) => {
      const ranges = mergeDays(own.map(({ day }) => day)).map(showDays);
      return [name, ranges.join(', ')];
    });
    const head = `Waived ${count(cells.length, 'cell')} of organization ${orgId}:`;
    return {
      document: { orgId, reason: why, cells },
      lines: [head, ...formatTable({ rows }), 'A later good read lifts the waiver.'],
    };
  },
});
