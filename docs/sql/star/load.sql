-- Loads the days that have changed since the last load; at first, all. It may be run at any time and again.
begin isolation level repeatable read;

-- What has no changed_at, or may have become missing since, is always loaded. Transactions that were still open at the
-- last load began within the hour before the newest change that it saw.
create temporary table changed_usage on commit drop as
select u.* from usage_star.current_usage u
where u.changed_at is null
  or u.changed_at >= (
    select coalesce(max(f.changed_at), '2000-01-01 00:00Z') - interval '1 hour' from usage_star.fact_usage f)
  or u.usage_date >= (
    select (coalesce(max(f.changed_at), '2000-01-01 00:00Z') at time zone 'UTC')::date - 2 from usage_star.fact_usage f);

-- A day that no run has recorded may no longer be expected.
delete from usage_star.fact_usage where changed_at is null;
delete from usage_star.fact_usage f using changed_usage c where f.org_id = c.org_id and f.usage_date = c.usage_date;
insert into usage_star.fact_usage select * from changed_usage;

commit;
