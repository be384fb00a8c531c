import { EXIT } from '../errors.ts';
import { withoutPlaces } from '../export/report.ts';
import { waiveCells } from '../ledger/waive.ts';
import { type Gap, readGaps } from '../queries/gaps.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays, showWhen } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { chooseJudged, openSchema } from './database.ts';
import { days, flag, org, reason, required, requirePastDays, streams } from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: flag('also what is unavailable or accepted, which is no gap') },
  async run(context, { all }) {
    await using handle = await openSchema(context);
    const instanceIds = await chooseJudged(context, handle);
    const found = await readGaps(handle.db, { instanceIds, withKnown: all });
    return {
      document: found.map(({ orgName: _, ...gap }) => gap),
      lines: renderGaps(found, context.hostNow()),
      exitCode: found.some(({ standing }) => isGap(standing)) ? EXIT.incomplete : EXIT.ok,
    };
  },
});

/** The lines of a cause that are shown to people; `--json` has all. */
const LINES_MAX = 100;

export function renderGaps(found: readonly Gap[], nowMs: number): string[] {
  const missing = found.filter(({ standing }) => isGap(standing));
  const known = found.filter(({ standing }) => !isGap(standing));
  const lines: string[] =
    missing.length === 0
      ? ['No gaps.']
      : [`${describe(missing)} missing or in doubt.`, ...renderCauses(missing, nowMs)];
  if (known.length > 0) {
    lines.push('', `${describe(known)} accepted or unavailable.`, ...renderCauses(known, nowMs));
  }
  const example = found.find(({ standing }) => standing !== 'accepted');
  if (example !== undefined) {
    const { orgId, stream: name, day } = example;
    lines.push('', 'What one is about, and the commands that can help:');
    lines.push(`  losant-usage explain --org ${orgId} --day ${day} --stream ${name}`);
  }
  return lines;
}

function describe(several: readonly Gap[]): string {
  const orgs = new Set(several.map(({ orgId }) => orgId)).size;
  return `${count(several.length, 'number')} of ${count(orgs, 'organization')} ${several.length === 1 ? 'is' : 'are'}`;
}

/** Renders the most frequent cause first, its days together for each stream of an organization. */
function renderCauses(several: readonly Gap[], nowMs: number): string[] {
  const byCause = Map.groupBy(several, ({ standing, reason: why, message }) => {
    // Without names many share a message; a person's reason stays as it is.
    const shared = standing === 'accepted' ? message : message && withoutPlaces(message);
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
    const head = `${cause} (${count(own.length, 'number')})`;
    return ['', head, ...renderTable({ rows, most: LINES_MAX })];
  });
}

function nextTry({ standing, nextReadAt }: Gap, nowMs: number): string {
  if (!isGap(standing)) return '';
  if (nextReadAt === null) return 'not read again by itself';
  return Date.parse(nextReadAt) <= nowMs ? 'next run' : `next try ${showWhen(nextReadAt, nowMs)}`;
}

export const waive = defineCommand({
  needs: ['database'],
  role: 'losant_usage_writer',
  options: {
    org,
    day: required('YYYY-MM-DD[..YYYY-MM-DD]', 'the day, or the first and the last', days),
    stream: streams,
    reason: required('TEXT', 'why it is accepted, for whoever bills', reason),
  },
  async run(context, { org: orgId, day: range, stream, reason: why }) {
    const { config, hostNow } = context;
    requirePastDays(range, ['--day', '--day'], hostNow());
    const waiver = { orgId, streams: stream, range, reason: why, policy: config.policy };
    await using handle = await openSchema(context, { writes: true });
    const accepted = await waiveCells(handle.db, waiver);
    const cells = accepted.map(({ stream: name, day }) => ({ stream: name, day }));
    const rows = [...Map.groupBy(cells, ({ stream: name }) => name)].map(([name, own]) => {
      const ranges = mergeDays(own.map(({ day }) => day)).map(showDays);
      return [name, ranges.join(', ')];
    });
    const head = `Waived ${count(cells.length, 'number')} of ${orgId}:`;
    return {
      document: { orgId, reason: why, cells },
      lines: [head, ...renderTable({ rows }), 'The next good read lifts it.'],
    };
  },
});
