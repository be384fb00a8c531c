/** Returns the files that a Markdown text links to, without other sites and headings of the same page. */
export function findLinkedFiles(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** Returns the headings that a Markdown text links to: of another file, or of its own if `file` is empty. */
export function findLinkedAnchors(text: string): { readonly file: string; readonly anchor: string }[] {
  const targets = [...text.matchAll(/\]\((?!\w+:)([^)\s#]*)#([^)\s]+)\)/g)];
  return targets.map(([, file = '', anchor = '']) => ({ file, anchor }));
}

/** Returns the anchors that GitHub gives to the headings of a Markdown text. */
export function listAnchors(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? '');
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
