import { EXIT } from '../exit.ts';
import { migrateToHead, readSchemaState } from '../database/migrate/migrate.ts';
import { type CommandContext, printJson } from './command.ts';
import { openDatabase, useDatabase } from './open.ts';

/** `migrate`: brings the database to this version, or tells what that would do. */
export async function migrateCommand(
  context: CommandContext,
  { dryRun }: { dryRun: boolean },
): Promise<number> {
  const { output } = context;
  return await useDatabase(await openDatabase(context), async (handle) => {
    const names = dryRun ? (await readSchemaState(handle)).pending : await migrateToHead(handle);
    if (output.json) printJson(output, dryRun ? { pending: names } : { applied: names });
    else output.write(render(handle.describe, names, dryRun));
    return EXIT.ok;
  });
}

function render(database: string, names: readonly string[], dryRun: boolean): string {
  if (names.length === 0) return `The database at ${database} is up to date.\n`;
  return `${dryRun ? 'To be applied to' : 'Applied to'} ${database}: ${names.join(', ')}\n`;
}
