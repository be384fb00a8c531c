/** Defects in what needs attention, and in the digest. */
import { plant } from './mutant.ts';

export const attentionMutants = [
  plant(
    { file: 'migrations/0006_months.sql', test: 'test/views/activity.test.ts' },
    {
      'A comparison that does not exist is rejected': [
        ' else losant_usage_internal.reject_comparison(comparison) end',
        ' end',
      ],
      'A large change is at least half': [
        'abs(c.quantity - c.previous_quantity) >= 0.5 * c.previous_quantity',
        'abs(c.quantity - c.previous_quantity) > 0.5 * c.previous_quantity',
      ],
      'A change that is small in its instance is not large': ['>= 0.005 * sum', '>= 0.000005 * sum'],
      'The month is compared from its fourth day on': [
        'extract(day from losant_usage_internal.today() - 1) >= 3',
        'extract(day from losant_usage_internal.today() - 1) >= 1',
      ],
      'At most the first 28 days of a month are compared': [
        '(losant_usage_internal.today() - 1) + 27)',
        '(losant_usage_internal.today() - 1) + 30)',
      ],
      'Days that are not stored on one side are excluded from both': [
        'where u.quantity is not null and u.previous_quantity is not null\n',
        'where u.quantity is not null\n',
      ],
      'A forecast needs three stored days': ['having sum(n.days) >= 3', 'having sum(n.days) >= 2'],
      'A weekday that was never stored counts as the mean': [
        'coalesce(max(n.quantity / n.days) filter (where w.weekday = 4), sum(n.quantity) / sum(n.days))',
        'max(n.quantity / n.days) filter (where w.weekday = 4)',
      ],
      'A day that is not stored counts as the mean': ['* sum(n.days_unstored)', '* 0'],
      'A limit of 0 is exceeded by 1': [
        'n.limit_quantity >= 0 and coalesce(n.quantity > n.limit_quantity, false)',
        'coalesce(n.quantity / nullif(n.limit_quantity, 0) > 1, false)',
      ],
    },
  ),
  plant(
    { file: 'migrations/0010_attention.sql', test: 'test/ledger/attention.test.ts' },
    {
      'A doubt of less than a day needs nobody': ["c.doubted_at < now() - interval '1 day'", 'c.doubted_at < now()'],
      'A month with a doubt of less than a day needs nobody': [`b.cause <> 'in_doubt' or exists (`, `true or exists (`],
      'An instance whose first run is in progress is being read': [
        'and l.expires_at > now())',
        'and l.expires_at < now())',
      ],
      'An organization that is silent is not named for its change too': [
        'a.has_large_change and not a.is_silent',
        'a.has_large_change',
      ],
      'A new organization is not named for its change too': [' and (o.created_on >= a.month - 28) is not true', ''],
      'A deleted organization is not named for its change too': [
        ' and o.deleted_on is null and (o.created',
        ' and (o.created',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/close.test.ts' },
    {
      'A statement ends what its month needs': [
        "'month_ready', 'month_blocked', 'month_needs_adjustment'",
        "'month_blocked'",
      ],
      'A statement ends nothing of another month': [
        "and a.is_current and a.subject = to_char(p_month::timestamp, 'YYYY-MM')",
        'and a.is_current',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/attention.ts', test: 'test/ledger/attention.test.ts' },
    {
      'What was not seen for more than three days begins anew': ['const KEPT_DAYS = 3;', 'const KEPT_DAYS = 4;'],
      'What returns within three days goes on': ['const KEPT_DAYS = 3;\n', 'const KEPT_DAYS = 2;\n'],
      'Nothing is new at the first refresh': ['rows[0]?.isFirst === true', 'rows.length === 0'],
      'The first refresh of an instance that was never read is the first once it is read': [
        'attention_at is null or exists',
        'attention_at is null and exists',
      ],
      'A refresh reads before it locks the ledger': [
        'const { items, statements } = await readItems(db, instanceId);',
        'const { items, statements } = await inTransaction(ledger, (trx) => readItems(trx as never, instanceId));',
      ],
      'Silence is looked for from the fourth day on': ['t.first_day < y.today - 3', 't.first_day < y.today - 4'],
      'A new organization is looked for on its first days': ['o.created_on >= y.today - 7 or ', ''],
      'A deletion is looked for where nothing else happens': [' or o.deleted_on >= y.today - 7', ''],
      'Months are looked at once one has ended': ['if (instances[0]?.hasPastMonth)', 'if (instances.length > 1)'],
      'What is no longer seen is not current': [
        'where instance_id = ${instanceId} and is_current`',
        'where false and instance_id = ${instanceId} and is_current`',
      ],
    },
  ),
  plant(
    { file: 'src/loading/run.ts', test: 'test/loading/attention.test.ts' },
    {
      'A run that only confirmed numbers refreshes nothing': [
        'if (tally.cells.loaded === 0) return;',
        'if (tally.cells.loaded + tally.cells.unchanged === 0) return;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: 'test/ledger/attention.test.ts', only: 'in doubt for a day' },
    {
      'A doubt begins with the first contradiction': [
        "when c.standing = 'in_doubt' then c.doubted_at",
        "when c.standing = 'in_doubt' then clock_timestamp()",
      ],
      'A doubt that begins anew is not old': [
        "when n.standing <> 'in_doubt' then null when c.standing = 'in_doubt' then c.doubted_at",
        'when c.doubted_at is not null then c.doubted_at',
      ],
    },
  ),
  plant(
    { file: 'src/queries/attention.ts', test: 'test/ledger/attention.test.ts' },
    { 'What goes on is named on days 3, 7 and 14': ['in (3, 7, 14)', 'in (3, 7)'] },
  ),
  plant(
    { file: 'src/ledger/attention.ts', test: 'test/billing/close.test.ts', only: 'while a refresh reads' },
    {
      'A statement that is created while a refresh reads ends what its month needs': [
        'and s.number > ${statements}',
        'and s.number < 0',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/attention.ts', test: 'test/worker/digest.test.ts' },
    {
      'A live claim of another process is left alone': ['or d.expires_at <= clock_timestamp())', 'or true)'],
      'A finished digest is not sent again': ['where d.outcome is null and (d.claim_id', 'where (d.claim_id'],
    },
  ),
  plant(
    { file: 'src/worker/digest.ts', test: 'test/worker/digest.test.ts' },
    {
      'While nothing can be written, the log says so once': [
        'if (!this.#isFailing) logger.warn(fields,',
        'logger.warn(fields,',
      ],
      'A digest waits for runs': ['if (isRunning && pending.result', 'if (false && pending.result'],
      'What was sent is recorded during a run too': ['isRunning && pending.result === null &&', 'isRunning &&'],
      'It waits for an hour at most': [
        'nowMs - pending.sinceMs < HOUR_MS) return',
        'nowMs - pending.sinceMs < 2 * HOUR_MS) return',
      ],
      'A receiver that fails is tried for an hour only': [
        'nowMs - firstAttemptMs >= HOUR_MS',
        'nowMs - firstAttemptMs >= 2 * HOUR_MS',
      ],
      'A receiver that is busy is tried again': ['response === 429', 'response === 428'],
      'A receiver that rejects is not tried again': ['response >= 500;', 'response >= 400;'],
      'A message that was received is not sent again': ['pending.result ?? (await', 'null ?? (await'],
      'A digest is refreshed first': ['if (isOld) await', 'if (!isOld) await'],
      'A slow receiver does not delay the end of the worker': [
        'body, headers, signal, timeout',
        'body, headers, timeout',
      ],
    },
  ),
  plant(
    { file: 'src/digest/digest.ts', test: 'test/digest/digest.test.ts' },
    {
      'There is a message each Monday': ['|| new Date(', '&& new Date('],
      'A digest names the first of each instance before the second of any': [
        'const ranks = ofKind.flatMap(({ texts }) => [...texts.keys()]);',
        'const ranks = [0];',
      ],
      'A digest has at most eight lines': ['const MAX_LINES = 8;', 'const MAX_LINES = 9;'],
      'Of an instance that was not read only that is said': [
        'const notRead = textOf(',
        "const notRead = 'x' in {} && textOf(",
      ],
      'A digest is not based on what was known long ago': ['if (isOutdated) return', 'if (false) return'],
    },
  ),
  plant(
    { file: 'src/digest/digest.ts', test: 'test/digest/digest.test.ts' },
    {
      'No name notifies a channel in Slack': ["'<': '&lt;',", "'<': '<',"],
      'No name is a link in Slack': ["':': ':\\u200b',", "':': ':',"],
      'No name is set in italics in Slack': ["_: 'ˍ',", "_: '_',"],
      'No name notifies anybody in Discord': ['allowed_mentions: { parse: [] },', ''],
      'Marks in names are text in Discord': ['`\\\\${mark}`', 'mark'],
    },
  ),
  plant(
    { file: 'src/settings/notify-time.ts', test: 'test/settings/notify-time.test.ts' },
    {
      'A time that a change of clocks skips is the next instant that exists': [
        'Math.max(offsetMs(',
        'Math.min(offsetMs(',
      ],
    },
  ),
  plant(
    { file: 'src/digest/digest.ts', test: 'test/digest/digest.test.ts' },
    {
      'A digest says how many more there are, however long the names': [
        ', countItems(ofKind), MAX_TEXT)',
        ', countItems(ofKind))',
      ],
      'A message for Discord rather has no links than no last line': [
        'linked.length > DISCORD_LENGTH ? render(null) : linked',
        'linked',
      ],
    },
  ),
  plant(
    { file: 'src/digest/digest.ts', test: 'test/digest/digest.test.ts', only: 'nothing is known' },
    {
      'A digest says that nothing is known yet': [
        'if (instances.length === 0) problems',
        'if (month === undefined) problems',
      ],
    },
  ),
  plant(
    { file: 'src/queries/attention.ts', test: 'test/worker/digest.test.ts' },
    { 'What was known a day ago is not known now': ["interval '25 hours'", "interval '26 hours'"] },
  ),
  plant(
    {
      file: 'src/queries/attention.ts',
      test: 'test/commands/several-instances.test.ts',
      only: 'the others are skipped',
    },
    {
      'A digest names an instance of the settings that was never tried': [
        'left join losant_usage.instances i',
        'join losant_usage.instances i',
      ],
    },
  ),
].flat();
