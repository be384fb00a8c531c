/** The digest as the body of a webhook. Names come from customers: none can format the message or notify anybody. */
import type { NotifyFormat } from '../settings/config.ts';
import { type Digest, type DigestLine, showDigest } from './digest.ts';

/** Returns the JSON to send; with the address of the console, its lines are links. */
export function renderMessage(digest: Digest, format: NotifyFormat, consoleUrl: string | null): string {
  return JSON.stringify(RENDERERS[format](digest, consoleUrl));
}

const RENDERERS: Readonly<Record<NotifyFormat, (digest: Digest, consoleUrl: string | null) => unknown>> = {
  slack: renderSlack,
  teams: renderTeams,
  discord: renderDiscord,
  json: (digest) => ({ text: showDigest(digest).join('\n'), ...digest }),
};

/** Slack has no escapes for its marks, so look-alikes replace them. A zero-width space breaks mentions. */
const SLACK: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '@': '@\u200b',
  '*': '∗',
  '~': '∼',
  '`': 'ˋ',
  _: 'ˍ',
};

/** Slack leaves an underscore within a word as it is, and so stay the names of metrics. */
const SLACK_MARKS = /[&<>@*~`]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu;

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
  const content = lines.map((line) => renderLine(line, consoleUrl, escapeText, link)).join('\n');
  return {
    content: content.slice(0, DISCORD_LENGTH),
    allowed_mentions: { parse: [] },
    flags: SUPPRESS_EMBEDS,
  };
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
  return {
    type: 'message',
    attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', content }],
  };
}
