/** A list of many rows needs little memory. */
import { beforeAll, expect, test } from 'vitest';
import { useTestDatabase } from '../opened.ts';
import { asWriter } from '../support/databases.ts';
import { spawnProgram } from '../support/program.ts';

const INSTANCE = '5c0000000000000000000001';

/** 5,000 missing cells with 12 MB of details: 200 organizations on 25 days. */
const FILL = `
insert into losant_usage.instance (instance_id, name, listed_at) values ('${INSTANCE}', 'Main', now());
insert into losant_usage.organizations (org_id, name, first_seen_at, last_seen_at)
  select lpad(to_hex(n), 24, '0'), 'Organization ' || n, now(), now() from generate_series(1, 200) as n;
insert into losant_usage.coverage (usage_date, org_id, stream, standing, reason, detail, failed_reads, next_read_at)
  select date '2026-09-01' - n, org_id, 'device_counts', 'missing', 'timeout',
    rpad('no complete response within 30000 ms (after 5 attempts)', 2400, '.'), 1, now() + interval '1 hour'
  from losant_usage.organizations cross join generate_series(1, 25) as n;
insert into losant_usage.usage_days (usage_date, org_id)
  select date '2026-09-01' - n, org_id from losant_usage.organizations cross join generate_series(1, 25) as n;`;

const database = useTestDatabase();
beforeAll(() => asWriter(database.url, FILL));

test.each([[['gaps']], [['gaps', '--json']]])('%j of 5,000 long rows ends with a small heap', async (args) => {
  const ended = await spawnProgram(args, { DATABASE_URL: database.url, NODE_OPTIONS: '--max-old-space-size=34' }).ended;
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 3, stderr: '' });
  const texts = args.includes('--json')
    ? ['"day":"2026-08-07"']
    : ['5,000 cells of 200 organizations are missing', '\n  … and 100 more (use --json for all)\n'];
  for (const text of texts) expect(ended.stdout).toContain(text);
});
