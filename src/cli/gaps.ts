import { EXIT, SettingsError } from '../errors.ts';
import { waiveCells } from '../ledger/waive.ts';
import { type Gap, readGaps, readKnownMissing } from '../queries/gaps.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showWhen } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { streamOption } from './export-options.ts';
import { withoutPlaces } from './export-result.ts';
import { withDatabase } from './open-database.ts';
import { daysOption, idOption, required, requirePastDay, switchOption, textOption } from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: switchOption('also what is unavailable or accepted, which is no gap') },
  examples: () => ({
    gaps: 'what is missing, why, and when it is tried again',
    'gaps --all --json': 'the same and all that is known to be missing, as data',
  }),
  async run(context, { all }) {
    const { output, hostNow } = context;
    const { missing, known } = await withDatabase(context, async ({ db }) => ({
      missing: await readGaps(db),
      known: all ? await readKnownMissing(db) : [],
    }));
    output.printJson([...missing, ...known]);
    output.print(...renderGaps(missing, all ? known : null, hostNow()));
    return missing.length > 0 ? EXIT.incomplete : EXIT.ok;
  },
});

/** The number of lines shown to people; `--json` has all. */
const LINES_MAX = 200;

/** `renderGaps` renders the gaps, and the cells known never to come; null if those were not asked for. */
export function renderGaps(missing: readonly Gap[], known: readonly Gap[] | null, nowMs: number): Line[] {
  const nextTry = ({ nextReadAt }: Gap) =>
    nextReadAt === null || Date.parse(nextReadAt) <= nowMs
      ? 'next run'
      : `next try ${showWhen(nextReadAt, nowMs)}`;
  const open: Line[] = [
    line`${styled('red', `${numbersOf(missing)} missing or in doubt`)}.`,
    ...renderCauses(missing, (gap) => [nextTry(gap)]),
    '',
    'What is due is tried again by the next run. To try at once: losant-usage backfill --from DAY --to DAY',
    'More about one: losant-usage explain --org ID --day DAY. To accept one as it stands: losant-usage waive',
  ];
  const lines = missing.length === 0 ? [styled('green', 'No gaps.')] : open;
  if (known === null) return lines;
  if (known.length === 0) return [...lines, 'Nothing is accepted or unavailable.'];
  return [
    ...lines,
    '',
    `${numbersOf(known)} accepted or unavailable.`,
    ...renderCauses(known, () => []),
    ...renderAcceptance(known.filter(({ standing }) => standing === 'unavailable')),
  ];
}

/** `renderAcceptance` renders the commands that accept what is unavailable, to copy: waiting does not help. */
function renderAcceptance(unavailable: readonly Gap[]): Line[] {
  if (unavailable.length === 0) return [];
  const tracks = [...Map.groupBy(unavailable, ({ orgId, stream }) => `--org ${orgId} --stream ${stream}`)];
  const commands = tracks.flatMap(([track, gaps]) => {
    const ranges = mergeDays(gaps.map(({ day }) => day));
    return ranges.map((range) => `losant-usage waive ${track} --day ${showDays(range)} --reason TEXT`);
  });
  const more = commands.length - LINES_MAX;
  return [
    '',
    'What is unavailable no longer comes. To accept it, with a reason in place of TEXT:',
    ...commands.slice(0, LINES_MAX),
    ...(more > 0 ? [`and ${count(more, 'command')} more`] : []),
  ];
}

function numbersOf(gaps: readonly Gap[]): string {
  const orgs = new Set(gaps.map(({ orgId }) => orgId)).size;
  return `${count(gaps.length, 'number')} of ${count(orgs, 'organization')} ${gaps.length === 1 ? 'is' : 'are'}`;
}

/** `renderCauses` renders the most frequent cause first, each range of its days with the additions of `more`. */
function renderCauses(gaps: readonly Gap[], more: (gap: Gap) => readonly string[]): Line[] {
  const byCause = Map.groupBy(gaps, (gap) => JSON.stringify([gap.standing, gap.reason, causeOf(gap)]));
  const causes = [...byCause.values()].toSorted((a, b) => b.length - a.length);
  const lines: Line[] = [];
  let left = LINES_MAX;
  let hidden = 0;
  for (const cause of causes) {
    const rows = renderRows(cause, more);
    const shown = rows.slice(0, Math.max(0, left));
    left -= shown.length;
    hidden += rows.length - shown.length;
    if (shown.length === 0) continue;
    lines.push('', renderCause(cause), ...renderTable({ rows: shown }));
  }
  if (hidden > 0) lines.push('', `and ${count(hidden, 'line')} more (--json has all)`);
  return lines;
}

function renderCause(cause: readonly Gap[]): Line {
  const [first] = cause;
  if (!first) return '';
  const label = styled('bold', STANDINGS[first.standing].label);
  const message = cause.length === 1 ? first.message : causeOf(first);
  return line`${label}: ${first.reason}, ${message} (${count(cause.length, 'number')})`;
}

/** `causeOf` returns the message without names; a person's reason for accepting a cell stays as it is. */
function causeOf({ standing, message }: Gap): string {
  return standing === 'accepted' ? message : withoutPlaces(message);
}

function renderRows(gaps: readonly Gap[], more: (gap: Gap) => readonly string[]): Line[][] {
  const tracks = Map.groupBy(gaps, (gap) => JSON.stringify([gap.orgId, gap.stream, ...more(gap)]));
  return [...tracks.values()].flatMap((track) => {
    const [first] = track;
    if (!first) return [];
    const { stream, orgId, orgName } = first;
    // The newest range comes first.
    const ranges = mergeDays(track.map(({ day }) => day)).toReversed();
    return ranges.map((range) => [showDays(range), stream, ...more(first), orgId, styled('cyan', orgName)]);
  });
}

export const waive = defineCommand({
  needs: ['database'],
  options: {
    org: required(idOption('organization', 'the organization')),
    day: required(daysOption('the day, or the first and the last')),
    stream: required(streamOption('the stream')),
    reason: required(textOption('TEXT', 'why it is accepted, for whoever bills')),
    asZero: switchOption('store zeros in place of a number that Losant leaves out by now'),
  },
  examples: ({ weekAgo }) => ({
    [`waive --org 575ec8687ae143cd83dc4a97 --day ${weekAgo} --stream payload_totals --reason "agreed with Acme"`]:
      'one number',
  }),
  async run(context, { org, day, stream, reason, asZero }) {
    const { output, hostNow } = context;
    requirePastDay('--day', day.from, hostNow());
    requirePastDay('--day', day.to, hostNow());
    const why = reason.trim();
    if (why === '' || why === 'TEXT') {
      throw new SettingsError(`--reason is ${why === '' ? 'empty' : 'TEXT, which stands for a reason'}`, {
        hint: 'say why the number is accepted as it stands, for whoever bills',
      });
    }
    const waived = { orgId: org, stream, range: day, reason: why, asZero };
    const days = await withDatabase(context, ({ db }) => waiveCells(db, waived), { writes: true });
    output.printJson({ orgId: org, stream, days, reason: why, asZero });
    const what = `${count(days.length, 'number')}${asZero ? ' as zero' : ''}`;
    output.print(
      `Waived ${what}: ${stream} of ${org} for ${days.join(', ')}.`,
      'The next good read lifts it.',
    );
    return EXIT.ok;
  },
});
