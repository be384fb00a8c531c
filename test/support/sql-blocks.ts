/** Returns the SQL that a Markdown text shows, in order, each with the heading or question above it. */
export function sqlBlocks(text: string): { readonly title: string; readonly statements: string }[] {
  const parts = text.matchAll(
    /^(?:#+ (?<heading>.+)|(?<question>[A-Z][^\n]*\?)|```sql\n(?<sql>[^`]*)```)$/gm,
  );
  const blocks: { title: string; statements: string }[] = [];
  let title = '';
  for (const { groups = {} } of parts) {
    title = groups['heading'] ?? groups['question'] ?? title;
    const statements = groups['sql'];
    if (statements !== undefined) blocks.push({ title, statements });
  }
  return blocks;
}

/** Returns the SQL below one heading or question; throws if there is none. */
export function sqlBelow(text: string, title: string): string {
  const found = sqlBlocks(text).find((block) => block.title === title);
  if (!found) throw new Error(`no SQL below "${title}"`);
  return found.statements;
}
