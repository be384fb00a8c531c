import type { CommandContext } from './command.ts';
export async function demoCommand(_base: Omit<CommandContext, 'config' | 'logger'>): Promise<number> {
  return await Promise.resolve(0);
}
