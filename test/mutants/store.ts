/** Defects in loads, quarantine, and the views on what is stored. */
import { plant } from './mutant.ts';

export const storeMutants = [
  plant(
    { file: 'src/ledger/load.ts', test: 'test/ledger/load.test.ts' },
    {
      "A response that was sent before the end of its day, or in the future by the database's clock, is not loaded": [
        'for (const response of responses) requireSentInTime(response, atMs);',
        '',
      ],
      'Every change of a number is on record': ['await recordRevisions(trx, updates, runId);', ''],
      'A load whose commit was not confirmed is counted as it was stored': [
        'updates.length > 0 && areStored(updates, lockedCells)',
        'updates.length < 0',
      ],
      'A load is tried again after the connection was lost': [
        '{ canRetry: isConnectionLost, signal }',
        '{ canRetry: () => false, signal }',
      ],
      'Zeros are compared with counterparts that are stored': [
        'getStream(stream).counterparts.flatMap(',
        'getStream(stream).counterparts.filter(() => false).flatMap(',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/load.ts', test: 'test/ledger/waive.test.ts' },
    {
      'A good response lifts the waiver of its cell, which stays on record': [
        'await liftWaivers(keysOf(liftedCells), runId).execute(trx);',
        'void runId;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/load.ts', test: 'test/ledger/load.test.ts', only: 'of the same batch' },
    {
      'The responses of a batch are applied sources first, whatever their order': [
        'order(a) - order(b)',
        'order(b) - order(a)',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/load.ts', test: 'test/ledger/load.test.ts', only: 'that their own batch reports' },
    {
      'What a batch reports is applied before what it omits': [
        '(isOnlyOmission(verdict) ? streamNames.length : 0) + ',
        '',
      ],
      'What a batch reports contradicts its zeros even if it is not stored': [
        'update.cell.numbers ?? reportedNumbers',
        'update.cell.numbers',
      ],
      'Omitted sources confirm partly omitted zeros of their batch': [
        'verdict.omitted.length > 0 && !hasNonzero(verdict.numbers)',
        'verdict.omitted.length < 0',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/ledger/load.test.ts' },
    {
      'A batch that is loaded a second time counts as one failed read': [
        'cell.lastAttemptAtMs === response.sentAtMs ? cell.failedReads : cell.failedReads + 1',
        'cell.failedReads + 1',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: 'test/ledger/guards.test.ts' },
    {
      'A row that the database drops or changes ends the load': [
        'if (storedRows === sentRows) return;',
        'if (storedRows <= sentRows) return;',
      ],
      'A row of the ledger that the database changes ends the load': [
        `requireAll('coverage', cells.length, updatedRows.filter((row) => row.isAsSent).length);`,
        `requireAll('coverage', cells.length, updatedRows.length);`,
      ],
      'A number that the database changes ends the load': [
        `requireAll('usage_days', days.size, updatedRows.filter((row) => row.isAsSent).length);`,
        `requireAll('usage_days', days.size, updatedRows.length);`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: 'test/ledger/load.test.ts' },
    {
      'Loading one stream does not change the other streams of the day': [
        '= coalesce(n.${column}, d.${column})`',
        '= n.${column}`',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: 'test/views/history.test.ts' },
    {
      'The time at which a number was first stored never changes': [
        'coalesce(c.first_loaded_at, case when n.is_stored then (select clock_timestamp()) end)',
        'case when n.is_stored then (select clock_timestamp()) end',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/load.ts', test: 'test/ledger/load.test.ts' },
    {
      'An invalid body is stored as received, up to a limit': [
        'compress(text.slice(0, BODY_LENGTH_MAX))',
        'compress(text)',
      ],
      'An invalid body that stays the same is stored once': [') is not true`', ') is null or true`'],
      'A proxy that answers each request with another page is stored once a day': [
        "q.seen_at > clock_timestamp() - interval '1 day'",
        'false',
      ],
      'A problem that stays is stored again each day': [" and q.seen_at > clock_timestamp() - interval '1 day'", ''],
    },
  ),
  plant(
    { file: 'src/database/migrate.ts', test: 'test/database/migrate.test.ts' },
    {
      'What a migration creates gets its rights and comments': [
        'if (file === last) await applyAlways(trx, always);',
        'if (file === last) await sql`select 1`.execute(trx);',
      ],
      'Of two processes, one applies changed rights and comments': [
        'await sql`lock table losant_usage.migrations in exclusive mode`.execute(trx);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/database/migrate.ts', test: 'test/database/migrate.test.ts', only: 'is newer' },
    {
      'A newer database with other rights and comments is newer': ['unknown.length === 0 && ', ''],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/ledger/guards.test.ts' },
    {
      'Only the program can change the ledger': [
        'create trigger reject_manual_write before insert or update or delete or truncate on losant_usage.coverage',
        'create trigger reject_manual_write before insert on losant_usage.coverage',
      ],
    },
  ),
  plant(
    { file: 'migrations/0001_reference.sql', test: 'test/views/views.test.ts' },
    {
      'A cell is late six hours after its day, by the same rule in SQL and in the program': [
        `interval '6 hours'`,
        `interval '7 hours'`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/views/views.test.ts' },
    {
      'The standing of a day is that of its worst cell': [
        `select max(standing) as standing, bool_or(standing = 'waiting') as is_waiting`,
        `select min(standing) as standing, bool_or(standing = 'waiting') as is_waiting`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/views/views.test.ts' },
    {
      'A day is not final while a cell that is expected has not been created': [
        'await createExpectedCellsOf(trx, orgIds, { policy });',
        '',
      ],
    },
  ),
  plant(
    { file: 'migrations/0001_reference.sql', test: 'test/views/views.test.ts' },
    {
      'A day with a late waiting cell is missing, whatever its other cells are': [
        'return case when is_waiting and usage_date < losant_usage_internal.late_before()',
        `return case when standing = 'waiting' and usage_date < losant_usage_internal.late_before()`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/views/views.test.ts' },
    {
      'A late day whose cells have not been created is missing': [
        `'waiting', losant_usage_internal.current_standing('waiting', usage_date),`,
        `'waiting', 'waiting',`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/views/views.test.ts' },
    {
      'Days whose cells have not been created neither count as final nor reduce that count': [
        'greatest(t.next_day, least(t.last_day, y.yesterday) + 1) - 1 as last_day',
        't.next_day - 1 as last_day',
      ],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: 'test/views/views.test.ts' },
    {
      'A billing period of which a day was not tracked is not final': ['+ 1) <= e.last_day - e.first_day', '+ 1) < 0'],
      'A level is never summed over days': [
        'losant_usage_internal.last_level(losant_usage_internal.dated_level(d.usage_date, d.devices_total)) as devices_total,',
        'losant_usage_internal.total(d.devices_total) as devices_total,',
      ],
      'A limit is compared with the month to date of its metric': [
        "when 'notebook_minutes' then s.notebook_minutes",
        "when 'notebook_minutes' then null",
      ],
      'A month of an organization with a blocker is not billable': [
        'b.is_blocked is not true and i.is_blocked is not true as is_billable,',
        'i.is_blocked is not true as is_billable,',
      ],
    },
  ),
  plant(
    { file: 'migrations/0005_totals.sql', test: 'test/views/reconciliation.test.ts' },
    {
      'Counterparts that differ for single organizations differ, even if their sums are equal': [
        `when t.orgs_differing > 0 then 'differs'`,
        `when t.counterpart_sum <> t.counterpart_own_sum then 'differs'`,
      ],
      'A total of all organizations stays compared after some are selected': [
        'when i.new_orgs_from is null and (t.last_read_at >= f.final_at) is not true',
        'when i.new_orgs_from is null',
      ],
      'A total that was read before a deletion of the same day is compared': [
        ' and o.last_seen_at < t.last_read_at',
        '',
      ],
      'A deletion counts from the day after the organization was last seen, however late it was noticed': [
        `least(o.deleted_on, (o.last_seen_at at time zone 'UTC')::date + 1)`,
        'o.deleted_on',
      ],
      'A deletion that was noticed on the day on which the organization was last seen counts from that day': [
        `least(o.deleted_on, (o.last_seen_at at time zone 'UTC')::date + 1)`,
        `(o.last_seen_at at time zone 'UTC')::date + 1`,
      ],
      'A total that may still change is pending': [
        `when (t.last_read_at >= f.final_at) is not true then 'total_not_final'`,
        '',
      ],
      'A total that can no longer be read is not compared': [
        `when t.usage_date < f.horizon and (t.last_read_at >= f.final_at) is not true then 'past_horizon'`,
        '',
      ],
      'A final total past the horizon is compared': [
        'when t.usage_date < f.horizon and (t.last_read_at >= f.final_at) is not true then',
        'when t.usage_date < f.horizon then',
      ],
      'A sum that lacks an organization is not compared': [
        `when t.orgs_summed < t.orgs_expected then 'orgs_missing'`,
        '',
      ],
    },
  ),
  plant(
    { file: 'migrations/0007_changes.sql', test: 'test/views/history.test.ts' },
    {
      'The differences of a number since an instant add up to what changed': [
        'select coalesce(case when c.revision > 1 then (',
        'select coalesce(case when c.revision < 0 then (',
      ],
      'A number as of an instant is the one that was known then': [
        'where r.changed_at > as_of order by',
        'where r.changed_at < as_of order by',
      ],
    },
  ),
  plant(
    { file: 'migrations/always.sql', test: 'test/schema/rights.test.ts', only: 'reads every table' },
    {
      'A role may execute the functions of the views that it reads': [
        `losant_usage_internal.remedy, losant_usage_internal.month_lines`,
        'losant_usage_internal.remedy',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/schema/rights.test.ts', only: 'reads every table' },
    {
      'The reader reads the adjustments of a closed month': [
        `language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set plan_cache_mode`,
        'language plpgsql stable set plan_cache_mode',
      ],
    },
  ),
  plant(
    { file: 'deploy/postgres/roles.sql', test: 'test/schema/rights.test.ts', only: 'other roles' },
    {
      'PUBLIC may not execute a function that is created later': [
        'alter default privileges for role losant_usage_migrator revoke execute on functions from public;',
        '',
      ],
    },
  ),
  plant(
    { file: 'deploy/postgres/roles.sql', test: 'test/deploy/roles.test.ts' },
    {
      "An administrator's session calls no function of another role": [
        '\nset local search_path = pg_catalog, pg_temp;\n',
        '',
      ],
      'The sessions of a reader do not compile queries': ['alter role losant_usage_reader set jit = off;', ''],
    },
  ),
  plant(
    { file: 'src/database/sqlstate.ts', test: 'test/deploy/roles.test.ts' },
    {
      'The hint to a user without a privilege names the role of the command': [
        'hintSource(role)',
        `hintSource('losant_usage_writer')`,
      ],
    },
  ),
].flat();
