/** Defects in closing months, proof packs and their checks. */
import { plant } from './mutant.ts';

export const billingMutants = [
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/close.test.ts' },
    {
      'Only final and waived cells are billed': [
        `c.is_stored and c.standing not in ('final', 'waived') as is_withheld`,
        `c.is_stored and c.standing not in ('final', 'waived', 'in_doubt') as is_withheld`,
      ],
      'An adjustment waits until every day of a metric is settled': [
        'where (l.is_settled and (l.line).quantity is not null) or',
        'where (l.line).quantity is not null or',
      ],
      'A day that was not settled at closing is a difference once it is': [
        'where l.days_final + l.days_waived < l.days_expected or l.days_stored < l.days_expected',
        'where false',
      ],
      'An acceptance is bound to the quantities that would be billed': [
        "concat_ws(' ', d.org_id, d.metric, coalesce(d.quantity::text, '-'))",
        "concat_ws(' ', d.org_id, d.metric)",
      ],
      'An acceptance is bound to the blockers and their days': [
        "b.cause, b.first_day, b.last_day, b.usage_dates, b.streams), E'\\n'",
        "b.cause), E'\\n'",
      ],
      'An acceptance of another list of blockers is rejected': [
        'if current_hash <> blockers_hash then',
        'if false then',
      ],
      'A reason for a month without blockers is rejected': [
        'elsif blockers_hash is not null then',
        'elsif false then',
      ],
      'A blocked month is not closed without a reason': [
        'if current_hash is not null and (blockers_hash is null or incomplete_reason is null) then return null; end if;',
        '',
      ],
      'A month is closed after its last day': [
        `losant_usage_internal.month_end(of_month) >= (moment at time zone 'UTC')::date`,
        `of_month > (moment at time zone 'UTC')::date`,
      ],
      'A statement is as of one instant': [
        `current_setting('transaction_isolation') <> 'repeatable read' or moment`,
        'moment',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/adjust.test.ts' },
    {
      'A number that changed since the closing is a difference': [
        'and r.changed_at >= c.closed_at',
        'and r.changed_at < c.closed_at',
      ],
      'A number that was loaded after the closing is a difference': [
        'and v.first_loaded_at >= c.closed_at',
        'and v.first_loaded_at < c.closed_at',
      ],
      'A transferred organization that was never billed is a difference': [
        'h.org_id = o.org_id and h.instance_id <> o.instance_id',
        'h.org_id = o.org_id and false',
      ],
      'A line is the total of the month minus what earlier lines billed': [
        'else n.total - coalesce(b.quantity, 0) end',
        'else n.total end',
      ],
      'Earlier lines count, whichever instance billed them': [
        'select b.* from losant_usage_internal.billed_lines b where b.month = of_month and (',
        `select b.* from losant_usage_internal.billed_lines b where b.month = of_month and exists (
      select from losant_usage.statements s join losant_usage.statement_lines x on x.statement_id = s.statement_id
      where s.instance_id = p_instance_id and x.org_id = b.org_id and x.month = of_month) and (`,
      ],
      'An adjustment has the customer of the latest line that it corrects': [
        'case when b.org_id is null then o.customer_id else b.customer_id end',
        '(select x.customer_id from losant_usage.organizations x where x.org_id = o.org_id)',
      ],
      'A closing has the customer of the last day of the month': [
        'order by h.valid_from < month_over desc, abs(extract(epoch from h.valid_from - month_over)) limit 1',
        'order by h.valid_from limit 1',
      ],
      'A customer that changed within the month is reported': [
        'row(e.customer_id, e.plan_id) is distinct from row(h.customer_id, h.plan_id)',
        'e.org_id is null',
      ],
      'Payloads that moved from one source to another are a line of zero': [
        `and coalesce(s.sources, '{}') is distinct from b.sources)`,
        'and false)',
      ],
    },
  ),
  plant(
    { file: 'src/billing/close.ts', test: 'test/billing/close.test.ts', only: 'waits for a load under way' },
    {
      'A statement includes all of a load or nothing': [
        'await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);',
        '',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/rights.test.ts' },
    {
      'A pack has only files with known names': [
        `'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig'))`,
        `'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig') or true)`,
      ],
    },
  ),
  plant(
    { file: 'src/billing/pack-files.ts', test: 'test/billing/verify.test.ts' },
    {
      'Only regular files of a pack are opened': [
        'constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK',
        'constants.O_RDONLY | constants.O_NONBLOCK',
      ],
      'A file with other bytes is a problem': [
        `if (hash.digest('hex') !== named.sha256) throw`,
        `if (named.sha256 === '') throw`,
      ],
    },
  ),
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/verify.test.ts' },
    {
      'A file that no manifest lists is a problem': [
        'for (const name of names) found.say',
        'for (const name of [...names].slice(1)) found.say',
      ],
      'A signature matches the manifest and one of the keys': [
        'if (!verify(null, bytes, key, signature))',
        'if (signature.length === 0)',
      ],
      'A manifest follows the one with the previous number': [
        'before !== undefined && before.manifestSha256 !== link.sha256',
        'before !== undefined && link.sha256 === null',
      ],
    },
  ),
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/verify.test.ts' },
    {
      'A pack is checked by the queries of the release, not by its own': [
        'const checksSql = await readChecks(checks).catch(() => {',
        "const checksSql = await import('node:fs/promises').then(({ readFile }) => readFile(join(place, 'pack-checks.sql'), 'utf8')).catch(() => {",
      ],
    },
  ),
  plant(
    { file: 'src/billing/check-pack.ts', test: 'test/billing/tampered.test.ts' },
    {
      'The billed_before of a line is what earlier statements billed': [
        'where l.billed_before is not e.quantity limit 20',
        'where false',
      ],
    },
  ),
  plant(
    { file: 'pack-checks/1.sql', test: 'test/billing/tampered.test.ts' },
    {
      'A number is in its canonical decimal form': [
        `(total = '' or (cast(total as integer) || '' = total and total >= '0'))`,
        `(total = '' or total >= '0')`,
      ],
      'A total is the sum of its days': [
        `where l.kind = 'flow' and l.total is not case l.metric`,
        `where l.kind = 'none' and l.total is not case l.metric`,
      ],
      'No cell was read before the end of its day': [
        "c.last_read_at >= c.usage_date || 'T24'",
        'c.last_read_at >= c.usage_date',
      ],
      'An invalid row is a problem': [
        'select file from files where rows > typed;',
        'select file from files where false;',
      ],
      'A cell of revision 4 has three changes on record': [
        'having count(r.revision) <> c.revision - 1 limit 20;',
        'having count(r.revision) > c.revision limit 20;',
      ],
      'A change begins with the result of the one before': [
        'and c.place = a.place and c.revision < a.revision) and a.old is not b.new limit 20;',
        'and c.place = a.place and c.revision < a.revision) and false limit 20;',
      ],
    },
  ),
].flat();
