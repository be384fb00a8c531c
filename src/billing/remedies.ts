import type { Blocker } from './statements.ts';

/** Returns the lines of the remedies; those of a cause that have the same sentences step by step. */
export function mergeRemedies(blockers: readonly Pick<Blocker, 'cause' | 'remedy'>[]): string[] {
  const remedies = blockers.map(({ cause, remedy }) => ({ cause, lines: remedy.split('\n') }));
  const groups = Map.groupBy(remedies, ({ cause, lines }) =>
    [cause, ...lines.map((line) => (line.startsWith('losant-usage ') ? '' : line))].join('\n'),
  );
  return [...groups.values()].flatMap((group) => {
    const steps = group[0]?.lines.map((_, step) => group.map(({ lines }) => lines[step] ?? '')) ?? [];
    return steps.flatMap((lines) => mergeCommands([...new Set(lines)]));
  });
}

/** A command that takes several organizations, in the form in which a remedy has it. */
const FOR_ORGS = /^(?<start>losant-usage (?:run|backfill|waive) .*?--org )(?<orgId>[0-9a-f]{24})(?<end>.*)$/;
/** So few that a line can be pasted. */
const MAX_COMMAND_ORGS = 100;

/** Commands that differ only in the organization become one. */
function mergeCommands(commands: readonly string[]): string[] {
  const groups = Map.groupBy(commands, (each) => each.replace(FOR_ORGS, '$<start>ORGS$<end>'));
  return [...groups].flatMap(([command, members]) => {
    const orgIds = members.flatMap((each) => FOR_ORGS.exec(each)?.groups?.['orgId'] ?? []);
    if (orgIds.length < 2) return members;
    return Array.from({ length: Math.ceil(orgIds.length / MAX_COMMAND_ORGS) }, (_, index) => {
      const chunk = orgIds.slice(index * MAX_COMMAND_ORGS, (index + 1) * MAX_COMMAND_ORGS);
      return command.replace('ORGS', chunk.join(','));
    });
  });
}
