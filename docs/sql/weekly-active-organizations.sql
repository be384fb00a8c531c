-- Question: How many organizations were active in each of the last 26 weeks?
-- Units: organizations. A week runs from Monday to Sunday (UTC). Active: it sent a payload or ran a notebook.
-- Filter: another span: change 182, in days. Not known: nothing seen, but some number of the week is not stored, so that it
-- may have been active. Organizations that nobody tracks yet are in no week.
select week, count(*) filter (where is_active) as active,
  count(*) filter (where not is_active and not is_missing) as inactive,
  count(*) filter (where not is_active and is_missing) as not_known, count(*) as tracked
from (
  select date_trunc('week', usage_date::timestamp)::date as week, org_id,
    bool_or(payload_all_count > 0 or notebook_completed + notebook_canceled + notebook_errored + notebook_timeout > 0)
      is true as is_active,
    bool_or(streams_stored < streams_expected) as is_missing
  from losant_usage.daily_usage
  where usage_date >= date_trunc('week', now() at time zone 'UTC')::date - 182
    and usage_date < date_trunc('week', now() at time zone 'UTC')::date
  group by 1, org_id
) as weeks
group by week
order by week;
