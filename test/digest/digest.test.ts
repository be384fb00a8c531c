/** What a digest says, and how it becomes the body of a webhook. */
import { describe, expect, test } from 'vitest';
import { composeDigest, renderMessage, showDigest } from '../../src/digest/digest.ts';
import type { AttentionGroup, AttentionItem } from '../../src/queries/attention.ts';

const DAY = '2026-11-24';
const ORG = '5c0000000000000000000001';
const HEAD = 'Main, 2026-11-24: ';

const ITEM = { subject: ORG, sinceDay: '2026-11-02', orgId: ORG, orgName: 'Acme', count: 3, detail: null, remedy: 'x' };

function group(kind: AttentionGroup['kind'], ...items: readonly Partial<AttentionItem>[]): AttentionGroup {
  return { kind, total: items.length, items: items.map((item) => ({ ...ITEM, kind, ...item })) };
}

const compose = (...groups: readonly AttentionGroup[]) =>
  composeDigest({ day: DAY, instance: { name: 'Main' }, groups });
const say = (...groups: readonly AttentionGroup[]) => showDigest(compose(...groups));

const OF_INSTANCE = { subject: 'instance', orgId: null, orgName: null, count: null };
const OF_MONTH = { subject: '2026-10', orgId: null, orgName: null, count: null };

describe('a digest', () => {
  test.each<[AttentionGroup, string]>([
    [group('never_read', { ...OF_INSTANCE, detail: 'HTTP 401' }), 'Never read: HTTP 401, first tried on 2026-11-02'],
    [group('not_read', { ...OF_INSTANCE, detail: 'HTTP 502' }), 'Yesterday not read: 2026-11-02: HTTP 502'],
    [group('list_incomplete', { ...OF_INSTANCE, detail: 'page 2' }), 'Organizations may be missing: page 2'],
    [
      group('missing', { detail: 'payload_totals' }),
      'Data missing: Acme: 3 cells missing (payload_totals), oldest missing day 2026-11-02',
    ],
    [
      group('in_doubt', { detail: 'device_counts', count: 1, orgName: ' ' }),
      `Data in doubt: ${ORG}: 1 cell in doubt (device_counts), oldest day in doubt 2026-11-02`,
    ],
    [
      group('difference', { ...OF_INSTANCE, subject: 'devices_total', count: 2, detail: "from Losant's total" }),
      "Sums differ: devices_total: 2 days differ from Losant's total, the first on 2026-11-02",
    ],
    [
      group('limit_exceeded', { subject: `${ORG} payload`, detail: 'payload 145 of 100' }),
      'Limit exceeded: Acme: payload 145 of 100',
    ],
    [group('month_ready', OF_MONTH), 'Month ready to close: 2026-10'],
    [
      group('month_blocked', { ...OF_MONTH, count: 2, detail: 'missing, in_doubt' }),
      'Month blocked: 2026-10: 2 organizations: missing, in_doubt',
    ],
  ])('says what there is of a kind: %#', (item, line) => {
    expect(say(item)).toEqual([`${HEAD}1 thing needs attention`, line]);
  });

  test('lists the first items of a kind, and counts the others', () => {
    const missing = { ...group('missing', { detail: 'a' }, { detail: 'b', orgName: 'Bolt' }), total: 12 };
    expect(say(missing, group('month_ready', OF_MONTH))).toEqual([
      `${HEAD}13 things need attention`,
      'Data missing: 12',
      '• Acme: 3 cells missing (a), oldest missing day 2026-11-02',
      '• Bolt: 3 cells missing (b), oldest missing day 2026-11-02',
      '• and 10 more',
      'Month ready to close: 2026-10',
    ]);
  });

  test('that has nothing to say is empty, and says so', () => {
    expect(compose()).toMatchObject({ isEmpty: true, lines: [{ text: `${HEAD}nothing needs attention` }] });
    const unknown = composeDigest({ day: DAY, instance: null, groups: [] });
    expect(showDigest(unknown)).toEqual(['2026-11-24: nothing has been read yet']);
  });

  test('cuts off long names', () => {
    const [, line = ''] = say(group('month_ready', { ...OF_MONTH, subject: 'a'.repeat(300) }));
    expect(line).toBe(`Month ready to close: ${'a'.repeat(199)}…`);
  });
});

describe('a message', () => {
  const NAME = '<!channel> & <@U1> @everyone *b* _i_ ~s~ `c` a_b [x](http://evil.example) # \u202e\n';
  const digest = compose(group('limit_exceeded', { orgName: NAME, detail: 'device 2 of 1' }));
  const render = (format: 'slack' | 'teams' | 'discord' | 'json', consoleUrl: string | null = null) =>
    JSON.parse(renderMessage(digest, format, consoleUrl)) as Record<string, unknown>;

  test('for Slack notifies nobody, and its marks are text', () => {
    const { text, ...options } = render('slack');
    expect(options).toEqual({ link_names: false, unfurl_links: false, unfurl_media: false });
    expect(String(text).split('\n')[1]).toBe(
      'Limit exceeded: &lt;!channel&gt; &amp; &lt;@\u200bU1&gt; @\u200beveryone ∗b∗ ˍiˍ ∼s∼ ˋcˋ a_b ' +
        '[x](http:\u200b//evil.example) # \\u202e\\n: device 2 of 1',
    );
  });

  test('for Discord notifies nobody, and its marks are text', () => {
    const { content, ...options } = render('discord');
    expect(options).toEqual({ allowed_mentions: { parse: [] }, flags: 4 });
    expect(String(content).split('\n')[1]).toBe(
      'Limit exceeded: \\<!channel\\> & \\<@\u200bU1\\> @\u200beveryone \\*b\\* \\_i\\_ \\~s\\~ \\`c\\` a\\_b ' +
        '\\[x\\]\\(http\\://evil.example\\) \\# \\\\u202e\\\\n\\: device 2 of 1',
    );
  });

  test('for Discord has at most 2,000 characters, rather without links than cut off', () => {
    const toDiscord = (names: readonly string[], consoleUrl: string | null) => {
      const kinds = ['missing', 'in_doubt', 'limit_exceeded', 'limit_at_risk'] as const;
      const groups = kinds.map((kind) => group(kind, ...names.map((orgName) => ({ orgName }))));
      return (JSON.parse(renderMessage(compose(...groups), 'discord', consoleUrl)) as { content: string }).content;
    };
    const long = Array.from({ length: 10 }, () => '*'.repeat(200));
    expect(toDiscord(long, null)).toHaveLength(2_000);
    const content = toDiscord(['a'.repeat(120), 'b'.repeat(120)], `https://usage.example.com/${'a'.repeat(300)}`);
    expect(content).not.toContain('https');
    expect(content).toContain('About to exceed a limit: 2');
  });

  test('for Teams is a card whose text runs have neither marks nor mentions', () => {
    const open = { type: 'Action.OpenUrl', url: 'https://usage.example.com/organizations' };
    const text = `: ${NAME.replace('\u202e\n', '\\u202e\\n')}: device 2 of 1`;
    const block = (...inlines: object[]) => ({ type: 'RichTextBlock', inlines });
    const line = block({ text: 'Limit exceeded', selectAction: open }, { type: 'TextRun', text });
    const content = { type: 'AdaptiveCard', body: [block({ type: 'TextRun' }), line] };
    const card = { contentType: 'application/vnd.microsoft.card.adaptive', content };
    expect(render('teams', 'https://usage.example.com')).toMatchObject({ type: 'message', attachments: [card] });
    expect(JSON.stringify(render('teams'))).not.toMatch(/entities|selectAction/);
  });

  test('as JSON has the lines and the items', () => {
    expect(render('json')).toMatchObject({
      text: expect.stringContaining('1 thing needs attention') as string,
      day: DAY,
      lines: [{ label: null }, { label: 'Limit exceeded', path: '/organizations' }],
      groups: [{ kind: 'limit_exceeded', total: 1, items: [{ orgId: ORG, orgName: NAME, detail: 'device 2 of 1' }] }],
    });
  });

  test('links its lines to the console', () => {
    const link = 'https://usage.example.com/organizations';
    expect(String(render('slack', 'https://usage.example.com')['text'])).toContain(`<${link}|Limit exceeded>: `);
    const discord = String(render('discord', 'https://usage.example.com')['content']);
    expect(discord).toContain(`[Limit exceeded](<${link}>): `);
  });
});
