import { EXIT } from '../errors.ts';
import { waiveCells } from '../ledger/waive.ts';
import { type Gap, readGaps } from '../queries/gaps.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showWhen } from '../terminal/words.ts';
import { mergeDays } from '../usage/day.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { withoutPlaces } from './export-result.ts';
import { chooseJudged } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { days, flag, id, reason, required, requirePastDays, several, stream } from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: flag('also what is unavailable or accepted, which is no gap') },
  examples: () => ({
    gaps: 'what is missing, why, and when it is tried again',
    'gaps --all --json': 'the same and all that is known to be missing, as data',
  }),
  async run(context, { all }) {
    const { output, hostNow } = context;
    const found = await withDatabase(context, async (handle) => {
      const scope = { instanceIds: await chooseJudged(context, handle), withKnown: all };
      return await readGaps(handle.db, scope);
    });
    output.printJson(found.map(({ orgName: _, ...gap }) => gap));
    output.print(...renderGaps(found, { withKnown: all, nowMs: hostNow() }));
    return found.some(({ standing }) => isGap(standing)) ? EXIT.incomplete : EXIT.ok;
  },
});

/** The number of lines shown to people; `--json` has all. */
const LINES_MAX = 200;

interface Shown {
  /** Whether to show also what is unavailable or accepted. */
  readonly withKnown: boolean;
  readonly nowMs: number;
}

export function renderGaps(found: readonly Gap[], { withKnown, nowMs }: Shown): Line[] {
  const missing = found.filter(({ standing }) => isGap(standing));
  const known = found.filter(({ standing }) => !isGap(standing));
  const nextTry = ({ nextReadAt }: Gap) => {
    if (nextReadAt === null) return 'not read again by itself';
    return Date.parse(nextReadAt) <= nowMs ? 'next run' : `next try ${showWhen(nextReadAt, nowMs)}`;
  };
  const [example] = missing;
  const open: Line[] = [
    line`${styled('red', `${numbersOf(missing)} missing or in doubt`)}.`,
    ...renderCauses(missing, (gap) => [nextTry(gap)]),
    '',
    'What is due is read by the next run. To read one at once, to see more of it, to accept it as it stands:',
    ...(example === undefined ? [] : renderCommands(example)),
  ];
  const lines = missing.length === 0 ? [styled('green', 'No gaps.')] : open;
  if (!withKnown) return lines;
  if (known.length === 0) return [...lines, 'Nothing is accepted or unavailable.'];
  return [
    ...lines,
    '',
    `${numbersOf(known)} accepted or unavailable.`,
    ...renderCauses(known, () => []),
    ...renderAcceptance(known.filter(({ standing }) => standing === 'unavailable')),
  ];
}

function renderCommands({ orgId, stream: name, day }: Gap): Line[] {
  const cell = `--org ${orgId} --stream ${name}`;
  return [
    `  losant-usage backfill --from ${day} --to ${day} ${cell} --force`,
    `  losant-usage explain --day ${day} ${cell}`,
    `  losant-usage waive --day ${day} ${cell} --reason TEXT`,
  ];
}

/** Renders the commands that accept what is unavailable: waiting does not help. */
function renderAcceptance(unavailable: readonly Gap[]): Line[] {
  if (unavailable.length === 0) return [];
  const commands = [...Map.groupBy(unavailable, ({ orgId }) => orgId)].map(([orgId, own]) => {
    const all = own.map(({ day }) => day).toSorted();
    const range = { from: all[0] ?? '', to: all.at(-1) ?? '' };
    return `  losant-usage waive --org ${orgId} --day ${showDays(range)} --reason TEXT`;
  });
  const more = commands.length - LINES_MAX;
  return [
    '',
    'What is unavailable no longer comes. To accept it, with a reason in place of TEXT:',
    ...commands.slice(0, LINES_MAX),
    ...(more > 0 ? [`and ${count(more, 'command')} more`] : []),
  ];
}

function numbersOf(several: readonly Gap[]): string {
  const orgs = new Set(several.map(({ orgId }) => orgId)).size;
  const are = several.length === 1 ? 'is' : 'are';
  return `${count(several.length, 'number')} of ${count(orgs, 'organization')} ${are}`;
}

/** Renders the most frequent cause first, each range of its days with the additions of `more`. */
function renderCauses(several: readonly Gap[], more: (gap: Gap) => readonly string[]): Line[] {
  const byCause = Map.groupBy(several, (gap) => JSON.stringify([gap.standing, gap.reason, causeOf(gap)]));
  const causes = [...byCause.values()].toSorted((a, b) => b.length - a.length);
  const lines: Line[] = [];
  let left = LINES_MAX;
  let hidden = 0;
  for (const cause of causes) {
    const rows = renderRows(cause, more);
    const shown = rows.slice(0, Math.max(0, left));
    left -= shown.length;
    hidden += rows.length - shown.length;
    if (shown.length > 0) lines.push('', renderCause(cause), ...renderTable({ rows: shown }));
  }
  if (hidden > 0) lines.push('', `and ${count(hidden, 'line')} more (--json has all)`);
  return lines;
}

function renderCause(cause: readonly Gap[]): Line {
  const [first] = cause;
  if (!first) return '';
  const label = styled('bold', STANDINGS[first.standing].label);
  const message = (cause.length === 1 ? first.message : causeOf(first)) ?? '';
  const why = message === '' ? first.reason : `${first.reason}, ${message}`;
  return line`${label}: ${why} (${count(cause.length, 'number')})`;
}

/** Returns the message without names; a person's reason for accepting a cell stays as it is. */
function causeOf({ standing, message }: Gap): string | null {
  return standing === 'accepted' || message === null ? message : withoutPlaces(message);
}

function renderRows(several: readonly Gap[], more: (gap: Gap) => readonly string[]): Line[][] {
  const tracks = Map.groupBy(several, (gap) => JSON.stringify([gap.orgId, gap.stream, ...more(gap)]));
  return [...tracks.values()].flatMap((track) => {
    const [first] = track;
    if (!first) return [];
    // The newest range comes first.
    const ranges = mergeDays(track.map(({ day }) => day)).toReversed();
    return ranges.map((range): Line[] => [
      showDays(range),
      first.stream,
      ...more(first),
      first.orgId,
      styled('cyan', first.orgName),
    ]);
  });
}

export const waive = defineCommand({
  needs: ['database'],
  options: {
    org: required('ID', 'the organization', id('organization')),
    day: required('YYYY-MM-DD[..YYYY-MM-DD]', 'the day, or the first and the last', days),
    stream: several('NAME', 'only these streams', stream),
    reason: required('TEXT', 'why it is accepted, for whoever bills', reason),
  },
  examples: ({ weekAgo }) => ({
    [`waive --org 575ec8687ae143cd83dc4a97 --day ${weekAgo} --reason "agreed with Acme"`]:
      'what is missing of a day',
  }),
  async run(context, { org: orgId, day: range, stream: streams, reason: why }) {
    const { output, config, hostNow } = context;
    requirePastDays(range, ['--day', '--day'], hostNow());
    const waiver = { orgId, streams, range, reason: why, policy: config.policy };
    const cells = await withDatabase(context, ({ db }) => waiveCells(db, waiver), { writes: true });
    const waived = cells.map(({ stream: name, day }) => ({ stream: name, day }));
    output.printJson({ orgId, reason: why, cells: waived });
    const rows = [...Map.groupBy(waived, ({ stream: name }) => name)].map(([name, own]) => {
      const ranges = mergeDays(own.map(({ day }) => day)).map(showDays);
      return [name, ranges.join(', ')];
    });
    output.print(
      `Waived ${count(cells.length, 'number')} of ${orgId}:`,
      ...renderTable({ rows }),
      'The next good read lifts it.',
    );
    return EXIT.ok;
  },
});
