/** What a Markdown text links to as a file, without the links to other sites and to headings of the same page. */
export function linkedFiles(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** What a Markdown text links to as a heading: of another file, or of its own where `file` is empty. */
export function linkedAnchors(text: string): { readonly file: string; readonly anchor: string }[] {
  const targets = [...text.matchAll(/\]\((?!\w+:)([^)\s#]*)#([^)\s]+)\)/g)];
  return targets.map(([, file = '', anchor = '']) => ({ file, anchor }));
}

/** The anchors of the headings of a Markdown text, as GitHub makes them. */
export function anchorsIn(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? '');
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
