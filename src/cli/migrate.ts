import { EXIT } from '../exit.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { switchOption } from './options.ts';

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'bring the database to this version',
  group: 'Set up',
  needs: 'database',
  options: { dryRun: switchOption('only list what would be applied') },
  examples: [
    { args: 'migrate --dry-run', does: 'what an upgrade would change' },
    { args: 'migrate', does: 'all of it, in one transaction' },
  ],
  async run(context, { dryRun }) {
    const { output } = context;
    const { openDatabase, requireWritable, useDatabase } = await import('./open-database.ts');
    const { migrateToHead, readSchemaState } = await import('../database/migrate/migrate.ts');
    const handle = await openDatabase(context, { ifMissing: dryRun ? 'stand_in' : 'create' });
    return await useDatabase(handle, async () => {
      if (!dryRun) requireWritable(handle);
      const names = dryRun ? (await readSchemaState(handle)).pending : await migrateToHead(handle);
      if (output.json) output.printJson(dryRun ? { pending: names } : { applied: names });
      else output.print(...render(handle.describe, names, dryRun));
      return EXIT.ok;
    });
  },
});

function render(database: string, names: readonly string[], dryRun: boolean): string[] {
  if (names.length === 0) return [`The database at ${database} is up to date.`];
  const done = `${count(names.length, 'migration')} ${dryRun ? 'to be applied to' : 'applied to'} ${database}:`;
  return [done, ...names.map((name) => `  ${name}`)];
}
