/** Defects in what counts for a day and a month, in the states of months, and in what resolves a blocker. */
import { plant } from './mutant.ts';

const STREAMS = 'test/views/which-streams.test.ts';
const MONTHS = 'test/views/months.test.ts';
const ADVICE = 'test/billing/advice.test.ts';

export const monthMutants = [
  plant(
    { file: 'migrations/0003_ledger.sql', test: STREAMS },
    {
      'A missing hour makes no day missing': [
        `
      and stream in (select stream from losant_usage.metrics)
  ) as c`,
        `
  ) as c`,
      ],
      'Hours that no run has created make no day wait': [
        'bool_or(stream in (select stream from losant_usage.metrics)) as is_waiting',
        'true as is_waiting',
      ],
      'A day of hours only is in no view of days': [
        'select * from losant_usage_internal.expected_days where standing is not null',
        'select * from losant_usage_internal.expected_days',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: STREAMS },
    {
      'New hours make no day wait': [
        `max('waiting'::losant_usage.standing) filter (where i.has_metrics)`,
        `'waiting'::losant_usage.standing`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0005_totals.sql', test: STREAMS },
    {
      'Waived hours are not compared with totals': [
        `(c.standing = 'final' or (c.standing = 'waived' and c.stream <> 'payload_hours'))`,
        `c.standing in ('final', 'waived')`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: STREAMS },
    {
      'A missing hour blocks no month': [
        `where c.standing <> 'waived' and c.stream in (select stream from losant_usage.metrics)`,
        `where c.standing <> 'waived'`,
      ],
      'A month in which only hours are expected has no state and no blockers': [
        `where o.instance_id = i.instance_id and t.stream in (select stream from losant_usage.metrics)
  ) as r`,
        `where o.instance_id = i.instance_id
  ) as r`,
      ],
      'Hours that were not tracked block no month': [
        'where u.stream in (select stream from losant_usage.metrics)',
        'where true',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: MONTHS },
    {
      'A month that an instance has closed stays on its list': [
        "select s.instance_id, s.month from losant_usage.statements s where s.kind = 'closing'",
        "select s.instance_id, s.month from losant_usage.statements s where s.kind = 'none'",
      ],
      'A month of which another instance has billed everything is not on the list': [
        'where l.month = m.month and l.org_id = o.org_id limit 1',
        'where false limit 1',
      ],
      'A month of which another instance has billed everything is on the list once something differs': [
        'else exists (select from losant_usage_internal.month_lines(m.instance_id, m.month)) end;',
        'else false end;',
      ],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: MONTHS },
    {
      'Nothing of a retired instance settles': [
        `case when b.state = 'settling' and i.retired_at is not null`,
        `case when b.state = 'settling' and false`,
      ],
      'A month with a stored cell that nothing reads again is blocked': [
        'losant_usage_internal.is_overdue(c.next_read_at) is false',
        'losant_usage_internal.is_overdue(c.next_read_at) is not true',
      ],
      'A missing number blocks the month, although it is read again': [
        `bool_and(c.standing in ('stored', 'waiting')
      and losant`,
        `bool_and(losant`,
      ],
      'A month that was not tracked from the first run on is blocked': [
        'bool_and(u.last_day < i.collected_from)',
        'bool_and(i.collected_from is not null)',
      ],
      'A month of which a day was not tracked is not final': ['and b.is_partly_tracked is not true as', 'as'],
      'Nothing accepts cells that are only read again': [
        `b.state = 'settling' and (b.detail is null or b.org_id is null)`,
        'false',
      ],
      'Days past the horizon are not read again': [`when b.last_day < readable_from then`, `when false then`],
      'Both streams of a comparison are read again': [`nullif(c.compared_with, 'losant')`, 'null'],
    },
  ),
  plant(
    { file: 'migrations/0001_reference.sql', test: MONTHS },
    {
      'A read is overdue a day after it was due': [`now() - interval '1 day'`, `now() - interval '1 hour'`],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: MONTHS },
    {
      'The last day of a month is waited for before a run creates its cells': [
        `0, null, (usage_date + 1)::timestamp at time zone 'UTC', 0, null,`,
        `0, null, null, 0, null,`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: MONTHS },
    {
      'Only settled differences need an adjustment': [
        'l.is_settled and (l.line).quantity is not null as is_billable',
        '(l.line).quantity is not null as is_billable',
      ],
      'Only organizations that somebody has to look at count as blocked': [
        `count(distinct b.org_id) filter (where b.state = 'blocked')`,
        'count(distinct b.org_id)',
      ],
      'A cell of a deleted organization is not asked for': [
        'case when o.deleted_on is null and i.retired_at is null',
        'case when i.retired_at is null',
      ],
      'A cell of a retired instance is not asked for': [
        'case when o.deleted_on is null and i.retired_at is null',
        'case when o.deleted_on is null',
      ],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: 'test/views/months.test.ts' },
    { 'To repair a difference only its instance is read': [`' --stream '), b.instance_id)`, `' --stream '), '')`] },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: ADVICE },
    {
      'A list that stays incomplete can be accepted': [
        `when b.cause in ('list_incomplete', 'not_fully_tracked', 'not_reconciled') then`,
        `when b.cause = 'list_incomplete' then null
    when b.cause in ('not_fully_tracked', 'not_reconciled') then`,
      ],
      'The blockers of an adjustment are accepted with an adjustment': [
        `case when is_closed then ' --adjust' end`,
        'null',
      ],
      'The remedy says when a quiet day is worth reading again': [
        `concat('the last of these cells is due at ' || losant_usage_internal.minute_text(b.next_read_at) || E'; then:\\n',
        'losant-usage run')`,
        `'losant-usage run'`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0010_attention.sql', test: 'test/console/months.test.ts' },
    {
      'A settling month asks for nobody': [
        `where m.state in ('ready', 'needs_adjustment') or`,
        `where m.state in ('ready', 'settling', 'needs_adjustment') or`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts', only: 'for more than a day' },
    {
      'Only a run that began after a cell came due shows that nobody reads it': [
        'and r.started_at > c.next_read_at and r.finished_at is not null',
        'and r.finished_at is not null',
      ],
      'An attempt that has failed shows that nobody reads a cell': [
        'and i.last_attempt_at > c.next_read_at and i.last_error is not null)',
        'and false)',
      ],
      'Only an attempt that began after a cell came due shows that nobody reads it': [
        'i.last_attempt_at > c.next_read_at and i.last_error',
        'i.last_error',
      ],
      'A run that has not ended may still read a cell': [
        'r.started_at > c.next_read_at and r.finished_at is not null',
        'r.started_at > c.next_read_at',
      ],
      'Waived days of a track that has ended are not asked for': [
        'and c.usage_date between t.first_day and t.last_day) then null',
        'and false) then null',
      ],
      'A waived cell that is overdue is read at its next checkpoint': [
        'then ${selectNextCheckpoint(policy, sql`now()`)}',
        'then null',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: ADVICE, only: 'without a scope' },
    {
      'A final cell that nobody reads is not asked for after it was waived': [
        `c.standing in ('stored', 'final') and losant`,
        `c.standing = 'stored' and losant`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts', only: 'whose reads fail' },
    { 'A stored cell whose reads fail can be waived': [' or c.failed_reads > 0', ''] },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/views/months.test.ts' },
    {
      'A day within a month is rejected instead of having no reconciliation': [
        '  select losant_usage_internal.require_month(p_month);\n',
        '',
      ],
    },
  ),
].flat();
