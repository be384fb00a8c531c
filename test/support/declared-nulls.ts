import pg from 'pg';

/**
 * Returns the columns of views, as `view.column`, in which a null is found although the comment does not speak of one.
 * The types of the program take such a column for one that always has a value.
 */
export async function findUndeclaredNulls(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: views } = await client.query<{ view: string; columns: string[] }>(`
      select c.relname as view, array_agg(quote_ident(a.attname)) as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
        and col_description(c.oid, a.attnum) !~* 'null'
      group by c.relname`);
    const found: string[] = [];
    for (const { view, columns } of views) {
      const counts = columns.map((column) => `count(*) filter (where ${column} is null) > 0 as ${column}`);
      const { rows } = await client.query(`select ${counts.join(', ')} from losant_usage.${view}`);
      const [hasNull] = rows as Record<string, boolean>[];
      for (const [column, isFound] of Object.entries(hasNull ?? {}))
        if (isFound) found.push(`${view}.${column}`);
    }
    return found;
  } finally {
    await client.end();
  }
}
