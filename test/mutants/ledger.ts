/** Defects in what is due, wanted, accepted and known of organizations. */
import { plant } from './mutant.ts';

export const ledgerMutants = [
  plant(
    { file: 'src/ledger/due.ts', test: 'test/ledger/due.test.ts' },
    {
      'A cell is due when its next read has come, and not before': [
        'return sql`c.next_read_at <= ',
        "return sql`c.next_read_at - interval '1 hour' <= ",
      ],
      'A day past the horizon is not asked for, even if it was set due': [
        'latestDay(from, range?.from, horizonStart(nowMs, policy))',
        `latestDay(from, range?.from, '2015-01-01')`,
      ],
      'An export reads only organizations of its instance': [
        'where o.instance_id = ${ledger.instanceId} and o.org_id > ${place.afterOrgId}',
        "where ${ledger.instanceId} <> '' and o.org_id > ${place.afterOrgId}",
      ],
      'A stream that was stopped is not asked for again in the run': [
        'c.stream <> all (${stopped}::text[])\n    and (${since}',
        'cardinality(${stopped}::text[]) >= 0\n    and (${since}',
      ],
      'A run by hand reads no cell before its checkpoint that has not failed': [
        'where: sql`c.attempts > 0 and c.next_read_at',
        'where: sql`c.next_read_at',
      ],
      'Another policy keeps the hour after which a zero that nobody named is asked for again': [
        'sql`least(c.next_read_at, (',
        'sql`least(null::timestamptz, (',
      ],
      'A higher horizon opens what failed before it was closed': [
        'else coalesce(${sooner}, ${now}::timestamptz) end',
        'else ${sooner} end',
      ],
      'Another policy opens nothing final unless a checkpoint lies ahead': [
        "('final', 'waived') then ${sooner}",
        "('waived') then ${sooner}",
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/fill.test.ts' },
    {
      'A track begins with the creation day of its organization at the earliest': [
        'select greatest(o.created_on, case',
        'select greatest(case',
      ],
      'An organization that appears later is collected from its creation day': [
        'then greatest(i.new_orgs_from, ${horizon}::date) else',
        'then ${yesterday}::date else',
      ],
      'What comes back goes on where it ended': [
        'next_day = greatest(t.next_day, ${horizon}::date)`',
        'next_day = ${yesterday}::date`',
      ],
      'What comes back after the horizon goes on at the horizon': [
        'next_day = greatest(t.next_day, ${horizon}::date)`',
        'next_day = t.next_day`',
      ],
      'A deletion ends with Previous day it was found': [
        'least(o.deleted_on - 1, case',
        'least(o.deleted_on - 2, case',
      ],
      'A stream that was taken out ends with yesterday': [
        'case when not ${isChosen} then ${yesterday}::date end',
        'case when false then ${yesterday}::date end',
      ],
      'A row that the database swallows ends the fill': [
        `  requireAll('coverage', rows[0]?.wanted ?? 0, rows[0]?.there ?? 0);
`,
        '',
      ],
      'Cells past the horizon are closed, and unavailable unless final or accepted': [
        `then c.standing else 'unavailable' end`,
        'then c.standing else c.standing end',
      ],
      'A final cell stays final when its day can no longer be read': [
        'standing = case when ${isSettled} then',
        `standing = case when c.standing = 'waived' then`,
      ],
      'Cells of a deleted organization are closed': [
        'o.deleted_on is not null and c.next_read_at is not null`',
        'false`',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/before-creation.ts', test: 'test/ledger/before-creation.test.ts' },
    {
      'A stored number outweighs a creation date that moved later': [
        `and not c.is_stored
      and c.standing in ('waiting', 'missing', 'unavailable')`,
        `and c.standing <> 'waived'`,
      ],
      'A creation date that moves back lifts the waivers of its own day as well': [
        'and c.usage_date >= o.created_on',
        'and c.usage_date > o.created_on',
      ],
      'A creation date that moves back lifts only waivers of the program': [
        `where w.kind = 'program' and w.lifted_at is null`,
        'where w.lifted_at is null',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'A backfill locks cells before their days': [
        'await lockOrgs(trx, orgIds, from);',
        'await lockTracks(trx, orgIds);',
      ],
      'No transaction that holds days locks further cells': [
        `  });
  await inTransaction(ledger, (trx) => waiveCellsBeforeCreation(trx, ledger));`,
        `    await waiveCellsBeforeCreation(trx, ledger);
  });`,
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/backfill.test.ts' },
    {
      'A backfill makes no day before the organization was created': [
        'sql`greatest(${from}::date, o.created_on)`',
        'sql`${from}::date`',
      ],
      'A backfill makes no day before the horizon': [
        'const from = latestDay(range.from, horizonStart(nowMs, ledger.policy));',
        'const { from } = range;',
      ],
      'A backfill does not reach into a day that is not over': [
        'const to = earliestDay(range.to, lastCompleteDay(nowMs));',
        'const { to } = range;',
      ],
      'A backfill makes the rows between its range and the first day': [
        'greatest(t.first_day - 1,\n',
        'greatest(null::date,\n',
      ],
      'A backfill skips days that are stored and not due': [
        'and (${force}::boolean or (not c.is_stored and',
        'and (${force}::boolean or (true and',
      ],
      'A backfill by force reads stored days as well': [
        'and (${force}::boolean or (not c.is_stored and',
        'and (${force}::boolean is not null and (not c.is_stored and',
      ],
      'A backfill of an organization that has no track is refused': [
        'if (org === undefined && stream === undefined) return;',
        'if (stream === undefined) return;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/views/views.test.ts' },
    {
      'A track that has ended reaches as far as its rows do': [
        't.last_day is not null and ${first} <=',
        't.last_day is null and ${first} <=',
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
      'A change of an attribute makes a new version in the history of the organization': [
        "and (${listed(HISTORY, 'v.')}) is distinct from",
        "and v.name is null and (${listed(HISTORY, 'v.')}) is distinct from",
      ],
      'An organization that is seen unchanged makes no new version': [
        "and (${listed(HISTORY, 'v.')}) is distinct from",
        "and (${listed(HISTORY, 'v.')}) is not distinct from",
      ],
      'An organization that is seen without its creation date keeps the one that is known': [
        'case when excluded.created_on is null then o.created_on',
        'case when excluded.created_on is null then null',
      ],
      'Only organizations that the newest list lacks are suspected to be deleted': [
        `existing.where('last_seen_at', '<', unseenSince)`,
        `existing.where('last_seen_at', '<=', unseenSince)`,
      ],
      'An organization that another instance lists stays there': [
        'const foreign = others.filter(({ hasLeft }) => !hasLeft);',
        'const foreign = others.filter(() => false);',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts' },
    {
      'A cell that is waived again has the new reason in force, and the old one on record': [
        'await liftWaivers(trx, accepted, null);',
        '',
      ],
      'A day that no run has made a row for can be waived': ['await fillOrgs(trx, [orgId], policy);', ''],
      'A waived cell is settled in the sums of its day': [
        'await unsetSumsOf(trx, first.instanceId, accepted);',
        '',
      ],
    },
  ),
].flat();
