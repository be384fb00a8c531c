/** Defects in what is due, expected, waived, and known about organizations. */
import { plant } from './mutant.ts';

export const ledgerMutants = [
  plant(
    { file: 'src/ledger/due.ts', test: 'test/ledger/due.test.ts' },
    {
      'A cell is due at its next read time, and not before': [
        'return sql`c.next_read_at <= ',
        "return sql`c.next_read_at - interval '1 hour' <= ",
      ],
      'A day past the horizon is not requested, even if it was set due': [
        'latestDay(from, range?.from, horizonStart(nowMs, policy))',
        `latestDay(from, range?.from, '2015-01-01')`,
      ],
      'A run reads only organizations of its instance': [
        'where o.instance_id = ${ledger.instanceId} and o.org_id > ${cursor.afterOrgId}',
        "where ${ledger.instanceId} <> '' and o.org_id > ${cursor.afterOrgId}",
      ],
      'A rejected stream is not requested again in the run': [
        'c.stream <> all (${refusedStreams}::text[])\n    and (${sinceAt}',
        'cardinality(${refusedStreams}::text[]) >= 0\n    and (${sinceAt}',
      ],
      'A manual run reads a cell before its checkpoint only if it has failed': [
        'sql`c.failed_reads > 0 and c.next_read_at',
        'sql`c.next_read_at',
      ],
      'A changed policy does not delay the next read of an unconfirmed zero': [
        'sql`least(c.next_read_at, $',
        'sql`least(null::timestamptz, $',
      ],
      'A longer horizon makes cells due again that failed before they became unavailable': [
        'else coalesce(${nextByPolicy}, ${now}::timestamptz) end',
        'else ${nextByPolicy} end',
      ],
      'A changed policy makes a final cell due only if a checkpoint lies ahead': [
        'case when ${IS_SETTLED} then ${nextByPolicy}',
        "case when c.standing = 'waived' then ${nextByPolicy}",
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/expected.test.ts' },
    {
      'A row that the database drops ends the creation of cells': [
        `  requireAll('coverage', rows[0]?.expected ?? 0, rows[0]?.present ?? 0);
`,
        '',
      ],
      'Cells past the horizon are retired, and unavailable unless final or waived': [
        `then c.standing else 'unavailable' end`,
        'then c.standing else c.standing end',
      ],
      'A final cell stays final when its day can no longer be read': [
        'standing = case when ${IS_SETTLED} then',
        `standing = case when c.standing = 'waived' then`,
      ],
      'Cells of a deleted organization are retired': [
        'o.deleted_on is not null and c.next_read_at is not null`',
        'false`',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/before-creation.test.ts' },
    {
      'A stored cell takes precedence over a creation date that moved later': [
        `and not c.is_stored
      and c.standing in ('waiting', 'missing', 'unavailable')`,
        `and c.standing <> 'waived'`,
      ],
      'Cells before a creation date are due again when it moves back': [
        'and c.usage_date >= o.created_on',
        'and c.usage_date > o.created_on',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'A backfill locks cells before their days': [
        'if (lockFrom !== null) await lockCellsOf(trx, orgIds, lockFrom);',
        '',
      ],
      'No cells are marked unavailable while days of others are locked': [
        'return await setCells(trx, { limit, set: unavailableColumns(orgDeleted), where: isOfDeletedOrg });',
        `const count = await setCells(trx, { limit, set: unavailableColumns(orgDeleted), where: isOfDeletedOrg });
        return count && (await setCells(trx, { set: sql\`detail = c.detail\`, where: isOfInstance }));`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/backfill.test.ts' },
    {
      'A backfill creates no cells before the horizon': [
        'const from = latestDay(range.from, horizonStart(nowMs, policy));',
        'const { from } = range;',
      ],
      'A backfill does not include a day that has not ended': [
        'const to = earliestDay(range.to, lastEndedDay(nowMs));',
        'const { to } = range;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: 'test/ledger/backfill.test.ts' },
    {
      'A backfill skips days that are stored and not due': [
        'and (${force}::boolean or (not c.is_stored and',
        'and (${force}::boolean or (true and',
      ],
      'A backfill with --force reads stored days as well': [
        'and (${force}::boolean or (not c.is_stored and',
        'and (${force}::boolean is not null and (not c.is_stored and',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/organizations.ts', test: 'test/ledger/organizations.test.ts' },
    {
      'An organization that is listed again is no longer deleted': [
        'deleted_on = null, unlisted_on = null',
        'unlisted_on = null',
      ],
      "A changed attribute adds a row to the organization's history": [
        "and (${listColumns(HISTORY_COLUMNS, 'v.')}) is distinct from",
        "and v.name is null and (${listColumns(HISTORY_COLUMNS, 'v.')}) is distinct from",
      ],
      'An unchanged organization adds no row to its history': [
        "and (${listColumns(HISTORY_COLUMNS, 'v.')}) is distinct from",
        "and (${listColumns(HISTORY_COLUMNS, 'v.')}) is not distinct from",
      ],
      'An organization that is listed without its creation date keeps the stored one': [
        'case when excluded.created_on is null then o.created_on',
        'case when excluded.created_on is null then null',
      ],
      'Only organizations that the latest list lacks may be deleted': [
        `existing.where('last_seen_at', '<', unseenSince)`,
        `existing.where('last_seen_at', '<=', unseenSince)`,
      ],
      'An organization that another instance still lists is not transferred': [
        'const foreignOrgs = lockedOrgs.filter(({ canTransfer }) => !canTransfer);',
        'const foreignOrgs = lockedOrgs.filter(() => false);',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts' },
    {
      'A repeated waiver replaces the reason and keeps the earlier one on record': [
        'await liftWaivers(keysOf(waivedCells), null).execute(trx);',
        '',
      ],
      'A day without a cell can be waived': [
        'await createExpectedCellsOf(trx, orgIds, { policy, lockFrom: range.from });',
        '',
      ],
      'A waiver computes the sums of its days': ['await computeOurSums(ledger, day);', 'void day;'],
    },
  ),
  plant(
    { file: 'migrations/0005_totals.sql', test: 'test/ledger/sums.test.ts' },
    {
      'A transfer invalidates the sums of days before the creation date that have cells': [
        `or (n.instance_id <> o.instance_id and exists (
      select from losant_usage.usage_days d where d.org_id = n.org_id and d.usage_date = t.usage_date))`,
        '',
      ],
      'An invalidation locks sums that are not set': [
        'and e.usage_date = k.usage_date and e.metric = s.metric',
        'and e.usage_date = k.usage_date and e.metric = s.metric and e.our_sum is not null',
      ],
      'A computation waits for changes in flight before it adds up': [
        `perform from losant_usage.instance_totals t where t.instance_id = p_instance_id and t.usage_date = day
  order by t.metric for update;`,
        '',
      ],
      'New cells invalidate the sums of their metrics': [
        'create trigger invalidate_sums after insert on losant_usage.coverage referencing new table as new_cells',
        'create trigger invalidate_sums after truncate on losant_usage.coverage',
      ],
      'Cells that become settled invalidate the sums of their metrics': [
        `select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from old_cells`,
        `select usage_date, org_id, stream, revision, is_stored from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored from old_cells`,
      ],
      'Cells with other numbers invalidate the sums of their metrics': [
        `select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from old_cells`,
        `select usage_date, org_id, stream, is_stored, losant_usage_internal.is_settled(standing) from new_cells
      except
      select usage_date, org_id, stream, is_stored, losant_usage_internal.is_settled(standing) from old_cells`,
      ],
      'A counterpart that changes invalidates the sums of its metrics': [
        'select metric, stream from losant_usage_internal.counterparts;',
        'select metric, stream from losant_usage_internal.counterparts where false;',
      ],
      'Control totals of other numbers are due again': [
        'and t.last_read_at is not null;\n  return null;',
        'and t.last_read_at is null;\n  return null;',
      ],
      'A new organization invalidates the sums from its creation on': [
        'select from new_orgs n where n.instance_id = t.instance_id',
        'select from new_orgs n where n.instance_id <> t.instance_id',
      ],
      'A date that moves invalidates the sums of the days between': [
        'and (n.instance_id, n.created_on, n.deleted_on) is distinct from (o.instance_id, o.created_on, o.deleted_on)',
        'and n.instance_id is distinct from o.instance_id',
      ],
      'An organization that moves invalidates the sums of both instances': [
        'on t.instance_id in (o.instance_id, n.instance_id)',
        'on t.instance_id = n.instance_id',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/organizations.ts', test: 'test/ledger/sums.test.ts' },
    {
      'An organization moves after the loads in flight': [
        'if (changedOrgs.length > 0) await lockCellsOf(trx, orgIdsOf(changedOrgs), FIRST_DAY);',
        '',
      ],
      'An organization that moves brings its totals along': [
        'await addTotals(trx, selectCells(orgIdsOf(transferredOrgs)));',
        '',
      ],
    },
  ),
].flat();
