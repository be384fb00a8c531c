/** Versions to come: the migrations of this one, and more. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Release = 'first' | 'second' | 'third';

/** A column of organizations with its data, and a view that shows it. */
export const COST_CENTER = `
alter table losant_usage.organizations add column cost_center text;
comment on column losant_usage.organizations.cost_center is 'Cost center: the tag as last seen; null if it has none.';
set local losant_usage.program = 'migration';
update losant_usage.organizations o set cost_center = t.value
from losant_usage.organization_tags t where t.org_id = o.org_id and t.key = 'cost_center' and t.nth = 1;
create or replace view losant_usage.organization_tags as
select o.org_id, tag.key, tag.value,
  row_number() over (partition by o.org_id, tag.key order by tag.place)::integer as nth, o.cost_center
from losant_usage.organizations o
cross join lateral (
  select t.item ->> 'key' as key, t.item ->> 'value' as value, t.place
  from jsonb_array_elements(o.tags) with ordinality as t (item, place)
) as tag;
comment on column losant_usage.organization_tags.cost_center is 'Cost center of the organization.';
select losant_usage.grant_rights();
`;

/** A column of each number's row, an index on it, and a rule that every row keeps. */
const THIRD = `
alter table losant_usage.usage_days add column payload_edge_count bigint check (payload_edge_count >= 0);
create index usage_days_edge on losant_usage.usage_days (org_id) where payload_edge_count is not null;
alter table losant_usage.runs add constraint runs_end_after_start check (finished_at >= started_at);
select losant_usage.grant_rights();
`;

const NAMES: readonly Release[] = ['first', 'second', 'third'];

export const releases = {
  before: (release: Release): Release => NAMES[NAMES.indexOf(release) - 1] ?? 'first',

  /** Writes the migrations of each release into a folder of its own, below a new folder. */
  write(): { readonly folderOf: (release: Release) => string; readonly remove: () => void } {
    const root = mkdtempSync(join(tmpdir(), 'losant-usage-releases-'));
    const folderOf = (release: Release) => join(root, release);
    for (const [nth, release] of NAMES.entries()) {
      cpSync('migrations', folderOf(release), { recursive: true });
      if (nth >= 1) writeFileSync(join(folderOf(release), '0098_cost_center.sql'), COST_CENTER);
      if (nth >= 2) writeFileSync(join(folderOf(release), '0099_edge.sql'), THIRD);
    }
    return { folderOf, remove: () => rmSync(root, { recursive: true }) };
  },
};
