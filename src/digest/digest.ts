/** The digest: what a morning's message says about all instances. */
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { NewItems } from '../ledger/attention.ts';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  addressOfKind,
  type InstanceAttention,
  listNames,
  readAttention,
} from '../queries/attention.ts';
import { type MonthToDate, readMonthToDate } from '../queries/usage-totals.ts';
import type { NotifyFormat } from '../settings/config.ts';
import { cutOff, escapeControls } from '../terminal/text.ts';
import { capitalize, count, showChange, showInstant, showNumber } from '../terminal/words.ts';
import { dayStartMs, type UsageDay } from '../usage/day.ts';

export interface DigestLine {
  /** Null for a sentence. */
  readonly label: string | null;
  /** The page of the console that shows more. */
  readonly path: string;
  readonly text: string;
}

export type Digest = ReturnType<typeof composeDigest>;

/** Reads the digest of a day. Without instances it says that nothing is known, or that all were retired. */
export async function readDigest(
  db: Kysely<Schema>,
  { instanceIds, day, areRetired = false }: { instanceIds: readonly string[]; day: UsageDay; areRetired?: boolean },
): Promise<Digest> {
  const instances = await readAttention(db, { instanceIds, day });
  const month = await readMonthToDate(db, 'payload_billable_count', instanceIds);
  return composeDigest(day, instances, month, areRetired);
}

const NOTHING_READ = 'not known yet, because nothing has been read';
const FIRST_READ = 'not known yet, because the first read is still in progress';
const ALL_RETIRED = 'every instance is retired, so nothing is read';
const MAX_LINES = 8;
const MONDAY = 1;

/** Composes the digest, whose verdict has its age. Of an instance that was not read, only that is said. */
export function composeDigest(
  day: UsageDay,
  instances: readonly InstanceAttention[],
  month: MonthToDate | null,
  areRetired = false,
) {
  const toName = ({ label }: InstanceAttention) => (instances.length > 1 ? `${label}: ` : '');
  const problems = instances.flatMap((instance) => {
    const problem = describeUnread(instance);
    return problem === null
      ? []
      : [toLine(null, '/runs', instances.length > 1 ? `${toName(instance)}${problem}` : capitalize(problem))];
  });
  if (instances.length === 0) problems.push(toLine(null, '/runs', capitalize(areRetired ? ALL_RETIRED : NOTHING_READ)));
  const readInstances = instances.filter((instance) => describeUnread(instance) === null);
  const groups = readInstances.flatMap((instance) =>
    instance.groups.map((group) => ({ ...group, texts: group.texts.map((text) => `${toName(instance)}${text}`) })),
  );
  const namedLines = (['new', 'reminder'] as const).flatMap((phase) => listKinds(groups, phase));
  const verdict = problems.length === 0 ? describeAll(groups) : `apart from that, ${describeAll(groups)}`;
  // A refresh waits for a run of another process, so what the verdict is based on may be old.
  const [oldestAt] = readInstances.flatMap(({ attentionAt }) => attentionAt ?? []).sort();
  const verdictLines =
    oldestAt === undefined ? [] : [toLine(null, '/', capitalize(`${verdict} (as of ${showInstant(oldestAt)})`))];
  const monthLines = readInstances.length === 0 || month === null ? [] : [describeMonth(month)];
  const head = limitLines([...problems, ...verdictLines], MAX_LINES - monthLines.length);
  return {
    day,
    /** Whether the day has a message. */
    isDue: problems.length > 0 || namedLines.length > 0 || new Date(dayStartMs(day)).getUTCDay() === MONDAY,
    lines: [...head, ...limitLines(namedLines, MAX_LINES - head.length - monthLines.length), ...monthLines],
    instances,
  };
}

export function listNewItems({ instances }: Digest): readonly NewItems[] {
  return instances
    .filter((instance) => describeUnread(instance) === null)
    .flatMap(({ instanceId, groups }) =>
      groups.filter(({ phase }) => phase === 'new').map(({ kind, subjects }) => ({ instanceId, kind, subjects })),
    );
}

function describeUnread({ attentionAt, isOutdated, hasRunInProgress, groups }: InstanceAttention): string | null {
  const textOf = (kind: AttentionGroup['kind']) => groups.find((group) => group.kind === kind)?.texts[0];
  const neverRead = textOf('never_read');
  const isUnknown = attentionAt === null || neverRead !== undefined;
  if (isUnknown && hasRunInProgress) return FIRST_READ;
  if (attentionAt === null) return NOTHING_READ;
  if (neverRead !== undefined) return `never read: ${neverRead}`;
  if (isOutdated) return `not known since ${showInstant(attentionAt)}; losant-usage status shows why`;
  const notRead = textOf('not_read');
  return notRead === undefined ? null : `yesterday was not read: ${notRead}`;
}

function countItems(groups: readonly AttentionGroup[]): number {
  return groups.reduce((sum, { items }) => sum + items, 0);
}

function describeAll(groups: readonly AttentionGroup[]): string {
  const missing = countItems(groups.filter(({ kind }) => kind === 'missing'));
  const newItems = countItems(groups.filter(({ phase }) => phase === 'new'));
  const otherItems = countItems(groups) - newItems;
  const data = missing === 0 ? 'no data is missing' : `data of ${count(missing, 'organization')} is missing`;
  if (newItems + otherItems === 0) return `${data}, and nothing needs attention`;
  const others = otherItems === 0 ? '' : `, ${showNumber(otherItems)} ongoing`;
  return `${data}; ${newItems === 0 ? 'nothing is' : `${count(newItems, 'thing is', 'things are')}`} new${others}`;
}

function listKinds(groups: readonly AttentionGroup[], phase: 'new' | 'reminder'): DigestLine[] {
  return Object.entries(ATTENTION_KINDS).flatMap(([kind, { label }]) => {
    const ofKind = groups.filter((group) => group.kind === kind && group.phase === phase);
    if (ofKind.length === 0) return [];
    // The first of each instance, then the second: a line with few names has some of every instance.
    const ranks = ofKind.flatMap(({ texts }) => [...texts.keys()]);
    const texts = [...new Set(ranks)].flatMap((rank) => ofKind.flatMap((group) => group.texts[rank] ?? []));
    const names = listNames(texts.map(escapeControls), countItems(ofKind), MAX_TEXT);
    return [toLine(phase === 'new' ? label : `Still: ${label}`, addressOfKind(kind), names)];
  });
}

function describeMonth({ from, to, total, valuesNotStored: notStored, change }: MonthToDate): DigestLine {
  const comparison = change === null ? 'no comparison' : `${showChange(change)} compared with the same weekdays before`;
  const quantity = total === null ? 'no billable payloads stored' : `${showNumber(total)} billable payloads`;
  const remark = notStored === 0 ? '' : `; ${count(notStored, 'value is', 'values are')} not stored`;
  return toLine(`${from.slice(0, 7)} through ${to}`, '/', `${quantity} (${comparison})${remark}`);
}

/** Keeps a line short: a name may have any length, and a message of Discord has at most 2,000 characters. */
const MAX_TEXT = 200;

function toLine(label: string | null, path: string, text: string): DigestLine {
  return { label, path, text: cutOff(escapeControls(text), MAX_TEXT) };
}

function limitLines(lines: readonly DigestLine[], max: number): readonly DigestLine[] {
  if (lines.length <= max) return lines;
  const hiddenLines = lines.length - max + 1;
  return [...lines.slice(0, max - 1), toLine(null, '/', `${hiddenLines} more lines are in the console`)];
}

export function showDigest({ lines }: Pick<Digest, 'lines'>): string[] {
  return lines.map(({ label, text }) => (label === null ? text : `${label}: ${text}`));
}

/**
 * Returns the JSON to send to a webhook; with the address of the console, its lines are links. Names come from
 * customers: none can format the message or notify anybody.
 */
export function renderMessage(digest: Digest, format: NotifyFormat, consoleUrl: string | null): string {
  return JSON.stringify(RENDERERS[format](digest, consoleUrl));
}

const RENDERERS: Readonly<Record<NotifyFormat, (digest: Digest, consoleUrl: string | null) => unknown>> = {
  slack: renderSlack,
  teams: renderTeams,
  discord: renderDiscord,
  json: (digest) => ({ text: showDigest(digest).join('\n'), ...digest }),
};

/** Slack has no escapes for its marks, so look-alikes replace them. A zero-width space breaks mentions and links. */
const SLACK: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '@': '@\u200b',
  ':': ':\u200b',
  '*': '∗',
  '~': '∼',
  '`': 'ˋ',
  _: 'ˍ',
};

/** Slack leaves an underscore within a word as it is, and so stay the names of metrics. */
const SLACK_MARKS = /[&<>@*~`]|:(?=\/)|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu;

function renderSlack({ lines }: Digest, consoleUrl: string | null): unknown {
  const escapeText = (text: string) => text.replaceAll(SLACK_MARKS, (mark) => SLACK[mark] ?? mark);
  const link = (url: string, text: string) => `<${url}|${text}>`;
  const text = lines.map((line) => renderLine(line, consoleUrl, escapeText, link)).join('\n');
  return { text, link_names: false, unfurl_links: false, unfurl_media: false };
}

const DISCORD_LENGTH = 2_000;
const SUPPRESS_EMBEDS = 4;

function renderDiscord({ lines }: Digest, consoleUrl: string | null): unknown {
  const escapeText = (text: string) =>
    text.replaceAll(/[\\*_~`|>#\-[\]()<:]/g, (mark) => `\\${mark}`).replaceAll('@', '@\u200b');
  const link = (url: string, text: string) => `[${text}](<${url}>)`;
  const render = (url: string | null) => lines.map((line) => renderLine(line, url, escapeText, link)).join('\n');
  // The last lines matter more than links.
  const linked = render(consoleUrl);
  const content = linked.length > DISCORD_LENGTH ? render(null) : linked;
  return { content: cutOff(content, DISCORD_LENGTH), allowed_mentions: { parse: [] }, flags: SUPPRESS_EMBEDS };
}

function renderLine(
  { label, path, text }: DigestLine,
  consoleUrl: string | null,
  escapeText: (text: string) => string,
  link: (url: string, text: string) => string,
): string {
  if (label === null) return escapeText(text);
  const head = escapeText(label);
  return `${consoleUrl === null ? head : link(`${consoleUrl}${path}`, head)}: ${escapeText(text)}`;
}

/** A text run has neither marks nor mentions, so nothing is escaped. */
function renderTeams({ lines }: Digest, consoleUrl: string | null): unknown {
  const body = lines.map(({ label, path, text }) => {
    const selectAction =
      consoleUrl === null ? {} : { selectAction: { type: 'Action.OpenUrl', url: `${consoleUrl}${path}` } };
    const head = label === null ? [] : [{ type: 'TextRun', text: label, weight: 'Bolder', ...selectAction }];
    return {
      type: 'RichTextBlock',
      inlines: [...head, { type: 'TextRun', text: label === null ? text : `: ${text}` }],
    };
  });
  const content = { type: 'AdaptiveCard', version: '1.4', body };
  return { type: 'message', attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', content }] };
}
