import { queryOnce } from '../support/databases.ts';

/** Rows as JSON text, by table. */
export type Snapshot = Readonly<Record<string, readonly string[]>>;

/** What depends on when and by which run a row was written, not on what is true. */
const NOT_COMPARED = [
  ...['run_id', 'loaded_at', 'verified_at', 'attempted_at', 'next_read_at', 'first_loaded_at'],
  ...['finalized_at', 'id', 'changed_at', 'first_seen_at', 'last_seen_at', 'valid_from', 'listed_at'],
  ...['api_url', 'settled_by'],
];

/** More would only hide the first. */
const LINES_MAX = 6;

const TABLES = [
  ...['usage_days', 'payload_sources', 'coverage', 'revisions'],
  ...['tracking', 'organizations', 'organization_history', 'instances'],
];

/**
 * Everything an export leaves behind, but for times and the ids of runs. Hashes of answers
 * depend on how many days were asked for at once.
 */
export async function takeSnapshot(databaseUrl: string, { hashes = true } = {}): Promise<Snapshot> {
  const left = [...NOT_COMPARED, ...(hashes ? [] : ['response_sha256'])];
  const parts = TABLES.map(
    (table) => `select '${table}' as name, (to_jsonb(t) - '{${left.join(',')}}'::text[])::text as line
      from losant_usage.${table} t`,
  );
  const moments = `select 'moments' as name, concat_ws(' ', usage_date, stream, org_id, verified_at is null,
    attempted_at is null, next_read_at is null, first_loaded_at is null, finalized_at is null)
    from losant_usage.coverage`;
  const rows = await queryOnce(databaseUrl, `${[...parts, moments].join(' union all ')} order by 1, 2`);
  const snapshot: Record<string, string[]> = {};
  for (const { name, line } of rows) (snapshot[String(name)] ??= []).push(String(line));
  return snapshot;
}

/** How two snapshots differ, a line each for the first differences: nothing if they are equal. */
export function differences(expected: Snapshot, actual: Snapshot): string[] {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
  const lines = names.flatMap((name) => {
    const [wanted, found] = [new Set(expected[name]), new Set(actual[name])];
    const lacking = [...wanted].filter((line) => !found.has(line));
    const extra = [...found].filter((line) => !wanted.has(line));
    const isDoubled = (expected[name]?.length ?? 0) !== (actual[name]?.length ?? 0);
    return [
      ...lacking.map((line) => `${name} lacks ${line}`),
      ...extra.map((line) => `${name} has ${line}`),
      ...(isDoubled && lacking.length + extra.length === 0 ? [`${name} has rows twice`] : []),
    ];
  });
  return lines.slice(0, LINES_MAX);
}
