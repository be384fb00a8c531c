/** Defects in which days are tracked, and in what reads tracks. */
import { plant } from './mutant.ts';

export const trackMutants = [
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/ledger/expected.test.ts' },
    {
      'A track begins on the creation day of its organization at the earliest': [
        'const firstDay = sql`greatest(o.created_on,\n',
        'const firstDay = sql`greatest(\n',
      ],
      'An organization that appears later is tracked from its creation day': [
        'then greatest(i.new_orgs_from, ${sync.horizon}::date) else',
        'then ${sync.yesterday}::date else',
      ],
      'An organization that appears later is tracked from the horizon at the earliest': [
        'then greatest(i.new_orgs_from, ${sync.horizon}::date) else',
        'then i.new_orgs_from else',
      ],
      'A stream that is enabled later is tracked from yesterday on': [
        'and not exists (select from losant_usage.tracks k where k.org_id = o.org_id))`;',
        ')`;',
      ],
      'The track of a deleted organization ends on the day before the deletion was noticed': [
        'least(o.deleted_on - 1, ${sync.yesterday}::date)',
        '${sync.yesterday}::date',
      ],
      'The track of a removed stream ends': [
        "and not (${isChosen(sync)} and ${isAny('t.stream', sync.streams)})`;",
        'and not ${isChosen(sync)}`;',
      ],
      'The track of an organization that is no longer selected ends': [
        "sql`(o.deleted_on is null and ${isAmong('o.org_id', selection)})`;",
        "sql`(o.deleted_on is null and ${isAmong('o.org_id', selection)} is not null)`;",
      ],
    },
  ),
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/ledger/tracks.test.ts' },
    {
      'A track that ends before it has a day is deleted': ['where ${ends} and ${lastDay} < t.first_day', 'where false'],
      'A track that ended on the day before the horizon continues': [
        'n.last_day >= ${sync.horizon}::date - 1',
        'n.last_day >= ${sync.horizon}::date',
      ],
      'A track that ended before the day before the horizon does not continue': [
        'n.last_day >= ${sync.horizon}::date - 1',
        'n.last_day >= ${sync.horizon}::date - 2',
      ],
      'Only the latest track continues': ['and not exists (${SIBLING} and k.first_day > n.first_day)', ''],
      'A track that returns begins on the creation day of its organization at the earliest': [
        'const firstDay = sql`greatest(o.created_on, ${sync.horizon}::date)`;',
        'const firstDay = sql`${sync.horizon}::date`;',
      ],
      'What a backfill touches before its range joins it': [
        "and t.first_day <= a.last_day + 1 and coalesce(t.last_day + 1, 'infinity') >= a.first_day",
        "and t.first_day <= a.last_day + 1 and coalesce(t.last_day, 'infinity') >= a.first_day",
      ],
      'What a backfill touches after its range joins it': [
        'and t.first_day <= a.last_day + 1 and',
        'and t.first_day <= a.last_day and',
      ],
      'The first day without a cell of a joined track is that of its first part': [
        'coalesce(min(t.next_day) filter (where t.first_day <= a.first_day), a.first_day),',
        'coalesce(max(t.next_day), a.first_day),',
      ],
      'A track that continues still does after a backfill has joined it': [
        'case when bool_or(t.org_id is not null and t.last_day is null) then null',
        'case when false then null',
      ],
      'A backfill after the last track adds its days alone': [
        'filter (where t.first_day > ${to}::date) - 1, ${to}::date)',
        "filter (where t.first_day > ${to}::date) - 1, (now() at time zone 'UTC')::date - 1)",
      ],
    },
  ),
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/ledger/backfill.test.ts' },
    {
      'A backfill adds the days up to the next track': [
        'coalesce(min(t.first_day) filter (where t.first_day > ${to}::date) - 1, ${to}::date)',
        '${to}::date',
      ],
      'A backfill adds no days before the organization was created': [
        'greatest(${from}::date, o.created_on) as first_day,',
        '${from}::date as first_day,',
      ],
      'A backfill adds no days to deleted organizations': [
        'where ${matches} and o.deleted_on is null\n      group by',
        'where ${matches}\n      group by',
      ],
      'A command that names nothing that is tracked is rejected': [
        'if (rows[0]?.isNothingTracked !== true) return',
        'if (rows.length >= 0) return',
      ],
      'What a command names and what was never tracked is named': ['(t.stream = s.stream or s.stream is null)', 'true'],
    },
  ),
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'Whoever changes tracks locks their organizations in order': ['order by org_id for no key update', ''],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/backfill.test.ts' },
    {
      'Only a backfill of everything lowers the first collected day: not one of some organizations': [
        'if (insertsCells && requestedOrgIds === null && streams === null)',
        'if (insertsCells && streams === null)',
      ],
      'Only a backfill of everything lowers the first collected day: not one of some streams': [
        'if (insertsCells && requestedOrgIds === null && streams === null)',
        'if (insertsCells && requestedOrgIds === null)',
      ],
      'Only a backfill lowers the first collected day': [
        'if (insertsCells && requestedOrgIds === null && streams === null)',
        'if (requestedOrgIds === null && streams === null)',
      ],
      'A backfill never raises the first collected day': ['case when ${isLater} then', 'case when true then'],
      'The first run sets the first collected day, and no later one does': [
        'sql<UsageDay>`coalesce(collected_from, ${yesterday}',
        'sql<UsageDay>`coalesce(${yesterday}',
      ],
      'An instance that is retired before its first run is not collected': [
        'if (scope.streams.length > 0) await recordFirstDays',
        'await recordFirstDays',
      ],
      'Cells that a backfill creates are due at once, and not in the past': [
        'sql`greatest(${firstRead}, ${dueFrom}::timestamptz)`',
        'firstRead',
      ],
    },
  ),
  plant(
    { file: 'src/loading/run.ts', test: 'test/loading/run.test.ts', only: 'never tracked' },
    { 'A backfill that names what was never tracked is not complete': ['    untracked.length > 0 ||\n', ''] },
  ),
  plant(
    { file: 'src/loading/preview.ts', test: 'test/loading/run.test.ts', only: 'preview' },
    {
      'The preview of a backfill past the horizon has no cells': [
        'const addsDays = isBackfill && addedRange.from <= addedRange.to;',
        'const addsDays = isBackfill;',
      ],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: 'test/ledger/tracks.test.ts' },
    {
      'Days after the end of a track are untracked in its month': [
        'where t.last_day is not null group by t.org_id, t.stream, t.last_day',
        'where false group by t.org_id, t.stream, t.last_day',
      ],
      'Days before a track are untracked in its month': [
        'select t.org_id, t.stream, losant_usage_internal.month_of(t.first_day) as month,',
        'select t.org_id, t.stream, null::date as month,',
      ],
      'Days between two tracks are untracked up to the later one only': [
        't.last_day + 1, min(n.first_day) - 1',
        't.last_day + 1, null::date',
      ],
      'Days between two tracks are untracked from the earlier one on': [
        'max(p.last_day) + 1 as first_day',
        'null::date as first_day',
      ],
      'Days before the creation of an organization are not untracked': [
        'select greatest(u.month, u.first_day, o.created_on) as first_day',
        'select greatest(u.month, u.first_day) as first_day',
      ],
      'Days after the deletion of an organization are not untracked': [
        'u.last_day, o.deleted_on - 1, ',
        'u.last_day, ',
      ],
    },
  ),
  plant(
    { file: 'migrations/0008_health.sql', test: 'test/views/two-tracks.test.ts', only: 'every view' },
    {
      'An organization counts once, however many tracks its stream has': [
        's.stream = c.stream and s.is_current',
        's.stream = c.stream',
      ],
    },
  ),
  plant(
    {
      file: 'migrations/0009_statements.sql',
      test: 'test/billing/close.test.ts',
      only: 'without a control total',
    },
    {
      'A day counts once, however many tracks it has': [
        'select distinct r.stream, day::date',
        'select r.stream, day::date',
      ],
    },
  ),
  plant(
    { file: 'src/cli/check.ts', test: 'test/commands/check.test.ts', only: 'tracks touch' },
    {
      'Tracks that touch are a failed check': ['if (first === undefined) return', 'if (db !== null) return'],
    },
  ),
].flat();
