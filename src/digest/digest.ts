/** The digest: the message of a morning, with what needs attention. */
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readInstance } from '../ledger/instance.ts';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  addressOfKind,
  formatItem,
  readAttention,
} from '../queries/attention.ts';
import type { NotifyFormat } from '../settings/config.ts';
import { cutOff, escapeControls } from '../terminal/text.ts';
import { count, joinParts, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';

interface DigestLine {
  /** Null for a sentence. */
  readonly label: string | null;
  /** The page of the console that shows more. */
  readonly path: string;
  readonly text: string;
}

export type Digest = ReturnType<typeof composeDigest>;

export async function readDigest(db: Kysely<Schema>, day: UsageDay): Promise<Digest> {
  const instance = await readInstance(db);
  return composeDigest({ day, instance, groups: await readAttention(db) });
}

/** Composes the digest: a line that says how much there is, then what it is by kind. */
export function composeDigest({ day, instance, groups }: DigestFacts) {
  const total = groups.reduce((sum, group) => sum + group.total, 0);
  const nothing = instance === null ? 'nothing has been read yet' : 'nothing needs attention';
  const verdict = total === 0 ? nothing : `${count(total, 'thing needs', 'things need')} attention`;
  const head = toLine(null, '/', `${joinParts(', ', instance?.name, day)}: ${verdict}`);
  return { day, isEmpty: total === 0, lines: [head, ...groups.flatMap(listGroup)], groups };
}

interface DigestFacts {
  readonly day: UsageDay;
  /** Null before the first attempt to read it. */
  readonly instance: { readonly name: string | null } | null;
  readonly groups: readonly AttentionGroup[];
}

/** A single item is on the line of the label of its kind; several have a line each. */
function listGroup({ kind, total, items }: AttentionGroup): DigestLine[] {
  const { label } = ATTENTION_KINDS[kind];
  const path = addressOfKind(kind);
  const texts = items.map(formatItem);
  if (total === 1) return [toLine(label, path, texts[0] ?? '')];
  const others = total - items.length;
  const more = others > 0 ? [`and ${showNumber(others)} more`] : [];
  return [
    toLine(label, path, showNumber(total)),
    ...[...texts, ...more].map((text) => toLine(null, path, `• ${text}`)),
  ];
}

/** Keeps a line short: a name may have any length, and a message of Discord has at most 2,000 characters. */
const MAX_TEXT = 200;

function toLine(label: string | null, path: string, text: string): DigestLine {
  return { label, path, text: cutOff(escapeControls(text), MAX_TEXT) };
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

/** Slack leaves an underscore within a word as it is, so the names of metrics need no escaping. */
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
