import type { CommandContext } from './command.ts';
export async function checkCommand(
  _context: CommandContext,
  _options: { allOrgs: boolean },
): Promise<number> {
  return await Promise.resolve(0);
}
