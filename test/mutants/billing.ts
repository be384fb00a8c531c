/** Defects in closing months and in statements. */
import { plant } from './mutant.ts';

export const billingMutants = [
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/close.test.ts' },
    {
      'Only final and waived cells are billed': [
        'where is_stored and not losant_usage_internal.is_settled(standing);',
        `where is_stored and not losant_usage_internal.is_settled(standing) and standing <> 'in_doubt';`,
      ],
      'Payloads by source of days that are not settled are not billed': [
        `c.usage_date <> all (coalesce(u.payload_sources, '{}'))`,
        'true',
      ],
      'Devices of days that are not settled are not billed': [
        `d.usage_date <> all (coalesce(u.device_counts, '{}'))`,
        'true',
      ],
      'Minutes of days that are not settled are not billed': [
        `d.usage_date <> all (coalesce(u.notebook_minutes, '{}'))`,
        'true',
      ],
      'Payloads of days that are not settled are not billed': [
        `d.usage_date <> all (coalesce(u.payload_totals, '{}'))`,
        'true',
      ],
      'Sums of sources of days that are not settled are not billed': [
        `d.usage_date <> all (coalesce(u.payload_sources, '{}'))`,
        'true',
      ],
      'The highest level of devices is that of settled days': [
        'max(d.devices_total) filter (where k.device_counts)',
        'max(d.devices_total)',
      ],
      'The mean level of devices is that of settled days': [
        'avg(d.devices_total) filter (where k.device_counts)',
        'avg(d.devices_total)',
      ],
      'The last level of devices is that of settled days': [
        'filter (where k.device_counts) as devices_total,',
        'as devices_total,',
      ],
      'An adjustment waits until every day of a metric is settled': [
        'where (l.is_settled and (l.line).quantity is not null) or',
        'where (l.line).quantity is not null or',
      ],
      'A day that was not settled when it was billed is adjusted once it is': [
        'where l.days_final + l.days_waived < l.days_expected or l.days_stored < l.days_expected',
        'where false',
      ],
      'An acceptance covers the quantities that would be billed': [
        "concat_ws(' ', d.org_id, d.metric, coalesce(d.quantity::text, '-'))",
        "concat_ws(' ', d.org_id, d.metric)",
      ],
      'An acceptance covers the blockers with their days': [
        'b.cause, b.first_day, b.last_day, b.usage_dates, b.streams)::text',
        'b.cause)::text',
      ],
      'A list of blockers other than the one that was shown is not accepted': [
        'if current_hash <> blockers_hash then',
        'if false then',
      ],
      'An acceptance for a month without blockers is rejected': [
        'elsif blockers_hash is not null then',
        'elsif false then',
      ],
      'A blocked month is not closed without an acceptance': [
        'if current_hash is not null and (blockers_hash is null or acceptance_reason is null) then return null; end if;',
        '',
      ],
      'A month is closed after its last day': [
        `losant_usage_internal.month_end(p_month) >= (as_of at time zone 'UTC')::date`,
        `p_month > (as_of at time zone 'UTC')::date`,
      ],
      'A statement is as of one instant': [
        `current_setting('transaction_isolation') <> 'repeatable read' or as_of`,
        'as_of',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/adjust.test.ts' },
    {
      'A number that is no longer settled since the closing is a difference': [
        'select m.month, c.org_id from closed_months m\njoin losant_usage_internal.non_final_cells c on c.month = m.month\nunion\n',
        '',
      ],
      'A number that changed since the closing is a difference': [
        'and r.changed_at >= m.closed_at',
        'and r.changed_at < m.closed_at',
      ],
      'A number of any stream that changed since the closing is a difference': [
        'and r.changed_at >= m.closed_at',
        "and r.changed_at >= m.closed_at and r.stream <> 'payload_sources'",
      ],
      'A number that was loaded after the closing is a difference': [
        'and c.first_loaded_at >= m.closed_at',
        'and c.first_loaded_at < m.closed_at',
      ],
      'An organization that was transferred from another instance is a difference if it was never billed': [
        'h.org_id = o.org_id and h.instance_id <> o.instance_id',
        'h.org_id = o.org_id and false',
      ],
      'A line is the total of the month minus what earlier lines billed': [
        'else n.total - coalesce(b.quantity, 0) end',
        'else n.total end',
      ],
      'Earlier lines count, whichever instance billed them': [
        'on b.month = p_month and (',
        `on b.month = p_month and exists (
      select from losant_usage.statements s join losant_usage.statement_lines x on x.statement_id = s.statement_id
      where s.instance_id = p_instance_id and x.org_id = b.org_id and x.month = p_month) and (`,
      ],
      'An adjustment keeps the customer of the newest line it corrects': [
        'case when b.org_id is null then o.customer_id else b.customer_id end',
        '(select x.customer_id from losant_usage.organizations x where x.org_id = o.org_id)',
      ],
      'A closing has the customer of the last day of the month': [
        'order by is_earlier desc nulls last, seconds limit 1',
        'order by seconds desc nulls last limit 1',
      ],
      'A line says whether its customer changed within the month': [
        'row(e.customer_id, e.plan_id) is distinct from row(v.customer_id, v.plan_id)',
        'e.org_id is null',
      ],
      'Payloads that moved from one source to another give a line of 0': [
        'or n.sources is distinct from b.sources)',
        ')',
      ],
    },
  ),
  plant(
    { file: 'src/billing/close.ts', test: 'test/billing/close.test.ts', only: 'after a load in progress' },
    {
      'A statement contains a load completely or not at all': [
        'await sql`lock table losant_usage_internal.ledger_lock in row exclusive mode`.execute(trx);',
        '',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/year.test.ts' },
    {
      'A correction in simulated months goes to the customer of the line it corrects': [
        'case when b.org_id is null then o.customer_id else b.customer_id end',
        '(select x.customer_id from losant_usage.organizations x where x.org_id = o.org_id)',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/seal.test.ts' },
    {
      'A statement is not dated before a change that it contains': ['if changed_at is not null then', 'if false then'],
      'A number that was loaded first is a change': ['and c.first_loaded_at > as_of\n', 'and false\n'],
      'A waiver is a change': ['and greatest(w.waived_at, w.lifted_at) > as_of', 'and false'],
      'A statement belongs to a transaction of the last two minutes': [
        "now() + interval '2 minutes'",
        "now() + interval '1 day'",
      ],
      'A change that a statement lacks because of its old snapshot is a difference': [
        "min(s.closed_at) - interval '10 minutes' as closed_at",
        'min(s.closed_at) as closed_at',
      ],
      'A statement is sealed with the bytes that its manifest names': [
        'bool_and(row(m.bytes, m.sha256) is not distinct from row(f.bytes, f.sha256))',
        'bool_and(m.name is not null and f.name is not null)',
      ],
      'A statement is sealed with every file of a pack': ['count(distinct f.name) = 9', 'true'],
      'A statement is sealed with the signature that its manifest names': [
        "or (document ->> 'signedBy' is not null) <> exists (",
        'or false and exists (',
      ],
    },
  ),
  plant(
    {
      file: 'migrations/always.sql',
      test: 'test/billing/rights.test.ts',
      only: 'lock the ledger in',
    },
    {
      'The closer cannot keep out more than loads': [
        'grant insert on losant_usage_internal.ledger_lock to losant_usage_closer',
        'grant delete on losant_usage_internal.ledger_lock to losant_usage_closer',
      ],
    },
  ),
  plant(
    { file: 'src/cli/close.ts', test: 'test/billing/commands.test.ts' },
    {
      'Whoever closes learns that the statement is not signed': ['if (!options.isSigned)', 'if (options.isSigned)'],
      'What was closed is printed even if the next instance fails': [
        'if (selected.length === 1 && codes.length === 0 && lines.isEmpty) throw error;',
        'if (selected.length === 1 || !(error instanceof SettingsError)) throw error;',
      ],
      '--json has every line of a statement': ['takeLines: (page) => lines.add(page)', 'takeLines: undefined'],
    },
  ),
  plant(
    { file: 'src/billing/statements.ts', test: 'test/billing/commands.test.ts' },
    {
      'Commands that differ only in the organization are printed as one': [
        'if (orgIds.length < 2)',
        'if (orgIds.length < 1_000)',
      ],
      'Waivers that differ only in the organization are printed as one': ['run|backfill|waive', 'run|backfill'],
    },
  ),
  plant(
    { file: 'src/billing/read-packs.ts', test: 'test/billing/customers.test.ts' },
    {
      'A file of a pack that was changed is on no statement of a customer': [
        "if (hash.digest('hex') !== entry?.sha256) throw",
        "if (hash.digest('hex') === '') throw",
      ],
    },
  ),
  plant(
    { file: 'src/billing/customers.ts', test: 'test/billing/customers.test.ts' },
    {
      'A manifest that was changed is on no statement of a customer': [
        'hashOf(text) === statement.manifestSha256 ?',
        "text !== '' ?",
      ],
      'A missing file of a pack is named as missing': ["isMissing ? 'is missing'", "!isMissing ? 'is missing'"],
      'The days of a customer are those of the newest statement of each organization': [
        'max(l.number) as number',
        'min(l.number) as number',
      ],
    },
  ),
  plant(
    { file: 'src/cli/statement.ts', test: 'test/billing/customers.test.ts' },
    {
      'Two customers with the same name have files of their own': ['return `${name}-${hash}`', 'return name'],
    },
  ),
  plant(
    { file: 'migrations/0011_customers.sql', test: 'test/billing/adjust.test.ts' },
    {
      'A day that was not settled was not billed': [
        'case when not (n.is_new or n.was_unbilled)',
        'case when not n.is_new',
      ],
      'A day that was first loaded later was not billed': [
        'p.billed_id is null or k.first_loaded_at > p.billed_at',
        'p.billed_id is null',
      ],
      'A day that is not settled has no new number': [
        'coalesce(losant_usage_internal.is_settled(k.standing), false)',
        'k.org_id is not null',
      ],
      'What was billed to a customer before includes every instance': [
        'partition by c.month, c.customer_id, c.org_id, c.metric order by s.closed_at, s.instance_id, s.number\n  rows between',
        'partition by s.instance_id, c.month, c.customer_id, c.org_id, c.metric order by s.closed_at, s.number\n  rows between',
      ],
    },
  ),
  plant(
    { file: 'src/terminal/text.ts', test: 'test/billing/commands.test.ts' },
    {
      'A table of the first rows counts all others': [
        'total = rows.length } = table',
        '} = table, total = rows.length',
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: 'test/billing/rights.test.ts' },
    {
      'Only the file names of a pack are stored': [
        `'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig'))`,
        `'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig') or true)`,
      ],
    },
  ),
  plant(
    { file: 'src/console/customer-statement.ts', test: 'test/billing/customers.test.ts' },
    {
      'The page of a customer has every digit of a quantity': [
        "quantity === '' ? null : BigInt(quantity);",
        "quantity === '' ? null : BigInt(Number(quantity));",
      ],
    },
  ),
  plant(
    {
      file: 'src/billing/statements.ts',
      test: 'test/billing/verify.test.ts',
      only: 'of the statement in the database',
    },
    { 'A statement is compared with when its month was closed': [' and s.closed_at = ${closedAt}::timestamptz', ''] },
  ),
].flat();
