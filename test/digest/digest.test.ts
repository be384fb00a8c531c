/** What a digest says, and how it becomes the body of a webhook. */
import { describe, expect, test } from 'vitest';
import { composeDigest, listNewItems, renderMessage, showDigest } from '../../src/digest/digest.ts';
import type { AttentionGroup, InstanceAttention } from '../../src/queries/attention.ts';

const TUESDAY = '2026-11-24';
const MONDAY = '2026-11-23';

type Kind = AttentionGroup['kind'];
function group(kind: Kind, phase: AttentionGroup['phase'], ...texts: readonly string[]): AttentionGroup {
  return { kind, phase, items: texts.length, subjects: texts, texts: texts.slice(0, 3), areNew: [] };
}
/** Returns a group of one new item for each kind. */
const newGroups = (kinds: readonly Kind[], text = 'A') => kinds.map((kind) => group(kind, 'new', text));

const instance = (groups: readonly AttentionGroup[], changes: Partial<InstanceAttention> = {}) => ({
  instanceId: '5c0000000000000000000001',
  name: 'Main',
  label: 'Main',
  attentionAt: '2026-11-24T07:00:00.000Z',
  isOutdated: false,
  hasRunInProgress: false,
  groups,
  ...changes,
});

const other = (instanceId: string, name: string | null, changes: Partial<InstanceAttention> = {}) =>
  instance([], { instanceId, name, label: name ?? instanceId, ...changes });

const MONTH = { from: '2026-11-01', to: '2026-11-23', total: 224_600_000, valuesNotStored: 4, change: -0.04 };

const compose = (instances: readonly InstanceAttention[], day = TUESDAY) => composeDigest(day, instances, MONTH);
const say = (instances: readonly InstanceAttention[]) => showDigest(compose(instances));

const MONTH_LINE =
  '2026-11 through 2026-11-23: 224,600,000 billable payloads (-4% compared with the same weekdays before); 4 values are not stored';

describe('a digest', () => {
  test('begins with a verdict, then what is new, what is named again, and the month so far', () => {
    const groups = [
      group('missing', 'new', 'Kestrel (payload_totals since 2026-11-23)'),
      group('limit_exceeded', null, 'Ironbark (payload 145%)'),
      group('limit_exceeded', 'reminder', 'Polaris (device 136%)'),
      group('silent', 'new', 'A', 'B', 'C', 'D', 'E'),
    ];
    expect(say([instance(groups)])).toEqual([
      'Data of 1 organization is missing; 6 things are new, 2 ongoing (as of 2026-11-24 07:00 UTC)',
      'Data missing: Kestrel (payload_totals since 2026-11-23)',
      'Silent for three days: A, B, C and 2 more',
      'Still: Limit exceeded: Polaris (device 136%)',
      MONTH_LINE,
    ]);
  });

  test.each([
    ['nothing', [], 'No data is missing, and nothing needs attention'],
    ['what goes on', [group('silent', null, 'A')], 'No data is missing; nothing is new, 1 ongoing'],
    ['one new thing', [group('silent', 'new', 'A')], 'No data is missing; 1 thing is new'],
  ] as const)('that has %s says so in its first line', (_, groups, verdict) => {
    const lines = say([instance(groups)]);
    expect([lines[0], lines.at(-1)]).toEqual([`${verdict} (as of 2026-11-24 07:00 UTC)`, MONTH_LINE]);
  });

  test.each([
    ['something new', [group('silent', 'new', 'A')], TUESDAY, true],
    ['something named again', [group('silent', 'reminder', 'A')], TUESDAY, true],
    ['only what goes on', [group('silent', null, 'A')], TUESDAY, false],
    ['nothing', [], TUESDAY, false],
    ['nothing, on a Monday', [], MONDAY, true],
  ] as const)('with %s on %s is due: %s', (_, groups, day, isDue) => {
    expect(compose([instance(groups)], day).isDue).toBe(isDue);
  });

  test('says that nothing is known before there is an instance', () => {
    expect(showDigest(composeDigest(TUESDAY, [], null))).toEqual(['Not known yet, because nothing has been read']);
  });

  test('has at most eight lines, and counts those that it omits', () => {
    const kinds = ['missing', 'in_doubt', 'limit_exceeded', 'limit_at_risk', 'large_change', 'silent', 'new'] as const;
    const lines = say([instance(newGroups([...kinds, 'deleted']))]);
    expect(lines).toHaveLength(8);
    expect(lines.slice(-3)).toEqual(['Large change this month: A', '3 more lines are in the console', MONTH_LINE]);
    expect(say([instance(newGroups(kinds.slice(1)))])).toHaveLength(8);
    const unread = Array.from({ length: 12 }, (_, index) => other(`${index}`, null, { attentionAt: null }));
    expect(say(unread)).toHaveLength(8);
  });

  const NOT_READ = { groups: [group('not_read', null, '2026-11-23: HTTP 502')] };
  const NEVER_READ = { groups: [group('never_read', null, 'Main: HTTP 401')] };
  const OUTDATED = { attentionAt: '2026-11-22T07:00:00.000Z', isOutdated: true };
  const FIRST_READ = 'Not known yet, because the first read is still in progress';
  test.each([
    ['was not read', NOT_READ, 'Yesterday was not read: 2026-11-23: HTTP 502'],
    ['was never read', NEVER_READ, 'Never read: Main: HTTP 401'],
    ['is not known', { attentionAt: null }, 'Not known yet, because nothing has been read'],
    ['was not refreshed', OUTDATED, 'Not known since 2026-11-22 07:00 UTC; losant-usage status shows why'],
    ['is being read for the first time', { attentionAt: null, hasRunInProgress: true }, FIRST_READ],
    ['is being read after an attempt that failed', { ...NEVER_READ, hasRunInProgress: true }, FIRST_READ],
  ])('about an instance that %s says only that', (_, changes, sentence) => {
    const { groups = [], ...others } = changes as Partial<InstanceAttention>;
    const unread = instance([...groups, group('missing', 'new', 'Kestrel')], others);
    expect(say([unread])).toEqual([sentence]);
    expect(compose([unread])).toMatchObject({ isDue: true });
    expect(listNewItems(compose([unread]))).toEqual([]);
  });

  test('cuts off long names, but not how many more there are', () => {
    const names = ['a', 'b', 'c', 'd'].map((name) => name.repeat(90));
    const [, line = ''] = say([instance([group('silent', 'new', ...names)])]);
    expect(line).toMatch(/^Silent for three days: a{90}, b{90}, c*… and 1 more$/);
    expect(line).toHaveLength('Silent for three days: '.length + 200);
  });

  test('about several instances names the first of each before the second of any', () => {
    const main = instance([group('missing', 'new', 'A', 'B', 'C', 'D')]);
    const instances = [main, other('f1', 'East', { groups: [group('missing', 'new', 'E', 'F')] })];
    expect(say(instances)[1]).toBe('Data missing: Main: A, East: E, Main: B and 3 more');
  });

  test('about several instances names each, and the age of the oldest', () => {
    const instances = [
      instance([group('missing', 'new', 'A')]),
      other('f1', null, { groups: [group('missing', 'new', 'B', 'C', 'D')], attentionAt: '2026-11-23T08:30:00.000Z' }),
      other('f2', 'East', { attentionAt: null }),
    ];
    expect(say(instances)).toEqual([
      'East: not known yet, because nothing has been read',
      'Apart from that, data of 4 organizations is missing; 4 things are new (as of 2026-11-23 08:30 UTC)',
      'Data missing: Main: A, f1: B, f1: C and 1 more',
      MONTH_LINE,
    ]);
    expect(listNewItems(compose(instances))).toEqual([
      { instanceId: '5c0000000000000000000001', kind: 'missing', subjects: ['A'] },
      { instanceId: 'f1', kind: 'missing', subjects: ['B', 'C', 'D'] },
    ]);
  });
});

test('what is said of other instances does not deny what one that was not read lacks', () => {
  const notRead = { groups: [group('not_read', null, '2026-11-23'), group('missing', 'new', 'A')] };
  expect(say([instance([]), other('f1', 'East', notRead)]).slice(0, 2)).toEqual([
    'East: yesterday was not read: 2026-11-23',
    'Apart from that, no data is missing, and nothing needs attention (as of 2026-11-24 07:00 UTC)',
  ]);
});

describe('a message', () => {
  const NAMES = ['<!channel> & <@U1>', '@everyone *b* _i_ ~s~ `c` a_b', '[x](http://evil.example) # \u202e\n'];
  const digest = compose([instance([group('missing', 'new', ...NAMES)])]);
  const render = (format: 'slack' | 'teams' | 'discord' | 'json', consoleUrl: string | null = null) =>
    JSON.parse(renderMessage(digest, format, consoleUrl)) as Record<string, unknown>;

  test('for Slack notifies nobody, and its marks are text', () => {
    const { text, ...options } = render('slack');
    expect(options).toEqual({ link_names: false, unfurl_links: false, unfurl_media: false });
    expect(String(text).split('\n')[1]).toBe(
      'Data missing: &lt;!channel&gt; &amp; &lt;@\u200bU1&gt;, @\u200beveryone ∗b∗ ˍiˍ ∼s∼ ˋcˋ a_b, ' +
        '[x](http:\u200b//evil.example) # \\u202e\\n',
    );
  });

  test('for Discord notifies nobody, and its marks are text', () => {
    const { content, ...options } = render('discord');
    expect(options).toEqual({ allowed_mentions: { parse: [] }, flags: 4 });
    expect(String(content).split('\n')[1]).toBe(
      'Data missing: \\<!channel\\> & \\<@\u200bU1\\>, @\u200beveryone \\*b\\* \\_i\\_ \\~s\\~ \\`c\\` a\\_b, ' +
        '\\[x\\]\\(http\\://evil.example\\) \\# \\\\u202e\\\\n',
    );
  });

  const toDiscord = (groups: readonly AttentionGroup[], consoleUrl: string | null) =>
    (JSON.parse(renderMessage(compose([instance(groups)]), 'discord', consoleUrl)) as { content: string }).content;

  test('for Discord has at most 2,000 characters', () => {
    const groups = newGroups(['missing', 'silent', 'new', 'deleted', 'in_doubt'], '*'.repeat(900));
    expect(toDiscord(groups, null)).toHaveLength(2_000);
  });

  test('for Discord has no links rather than no last line', () => {
    const groups = newGroups(['missing', 'silent', 'new', 'deleted', 'in_doubt', 'large_change'], 'a'.repeat(200));
    const content = toDiscord(groups, `https://usage.example.com/${'a'.repeat(60)}`);
    expect(content.length).toBeLessThan(2_000);
    expect(content).toMatch(/\n2026\\-11 through 2026\\-11\\-23: .* 4 values are not stored$/);
  });

  test('for Teams is a card whose text runs have neither marks nor mentions', () => {
    const open = { type: 'Action.OpenUrl', url: 'https://usage.example.com/attention?kind=missing' };
    const names = { type: 'TextRun', text: `: ${NAMES.join(', ').replace('\u202e\n', '\\u202e\\n')}` };
    const block = (...inlines: object[]) => ({ type: 'RichTextBlock', inlines });
    const line = block({ text: 'Data missing', selectAction: open }, names);
    const content = { type: 'AdaptiveCard', body: [block({ type: 'TextRun' }), line, block({}, {})] };
    const card = { contentType: 'application/vnd.microsoft.card.adaptive', content };
    expect(render('teams', 'https://usage.example.com')).toMatchObject({ type: 'message', attachments: [card] });
    expect(JSON.stringify(render('teams'))).not.toMatch(/entities|selectAction/);
  });

  test('as JSON has the lines and the items', () => {
    expect(render('json')).toMatchObject({
      day: TUESDAY,
      isDue: true,
      lines: [{ label: null }, { label: 'Data missing', path: '/attention?kind=missing' }, {}],
      instances: [{ name: 'Main', groups: [{ kind: 'missing', items: 3, texts: NAMES }] }],
    });
  });

  test('links its lines to the console', () => {
    const slack = String(render('slack', 'https://usage.example.com')['text']);
    expect(slack).toContain('<https://usage.example.com/attention?kind=missing|Data missing>: ');
    const discord = String(render('discord', 'https://usage.example.com')['content']);
    expect(discord).toContain('[Data missing](<https://usage.example.com/attention?kind=missing>): ');
  });
});
