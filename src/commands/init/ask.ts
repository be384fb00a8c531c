import type { BaseContext } from '../command.ts';
export async function askForSettings(_context: BaseContext, _options: { file: string }): Promise<number> {
  return 0;
}
