/** Follows what `close --dry-run` prints, as whoever bills would: line by line, as pasted. */

export interface Follower {
  /** Runs a command as printed and returns what it prints. */
  readonly paste: (command: string) => Promise<string>;
  readonly moveTo: (instant: string) => Promise<void>;
  /** Whether nothing remains to be done; asked after each command. */
  readonly isDone: () => Promise<boolean>;
}

/** Returns the command that accepts the blockers of a preview; null if it prints none. */
const findAcceptance = (printed: string) =>
  /^ *(losant-usage close .*--accept-blockers .*)$/m.exec(printed)?.[1] ?? null;

/**
 * Runs the commands that resolve the blockers of a preview, in their order, until nothing remains. A line with a time
 * says from when on the ones after it help. Returns the last command; null if there is none.
 */
export async function followRemedies({ paste, moveTo, isDone }: Follower, preview: string): Promise<string | null> {
  const [, remedies = ''] = /^To resolve:\n(.*?)\n\n/ms.exec(preview) ?? [];
  let last: string | null = null;
  for (const line of remedies.split('\n').map((each) => each.trim())) {
    const due = /(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC; then:$/.exec(line);
    if (due) await moveTo(`${due[1]}T${due[2]}:30Z`);
    if (!line.startsWith('losant-usage ')) continue;
    last = line;
    const acceptance = findAcceptance(await paste(line));
    if (line.includes('--dry-run') && acceptance !== null) await paste(acceptance);
    if (await isDone()) break;
  }
  // Something else accepts it only if no remedy does.
  const acceptance = findAcceptance(preview);
  if (last === null && acceptance !== null) await paste(acceptance);
  return last;
}
