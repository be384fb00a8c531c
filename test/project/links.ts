/** What a Markdown text links to as a file, without the links to other sites and to headings of the same page. */
export function linkedFiles(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}
