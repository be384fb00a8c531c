import { migrateToHead, readPending } from '../database/migrate.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { openDatabase, requireWritable } from './database.ts';
import { flag } from './options.ts';

export const migrate = defineCommand({
  needs: ['database'],
  role: 'losant_usage_migrator',
  options: { dryRun: flag('only list what would be applied') },
  async run(context, { dryRun }) {
    await using handle = await openDatabase(context, { ifMissing: dryRun ? 'stand_in' : 'create' });
    if (!dryRun) requireWritable(handle, context.role);
    const names = dryRun ? await readPending(handle) : await migrateToHead(handle);
    const document = dryRun ? { pending: names } : { applied: names };
    return { document, lines: render(handle.describe, names, dryRun) };
  },
});

function render(database: string, names: readonly string[], dryRun: boolean): string[] {
  if (names.length === 0) return [`The database at ${database} is up to date.`];
  const done = `${count(names.length, 'migration')} ${dryRun ? 'to be applied to' : 'applied to'} ${database}:`;
  return [done, ...names.map((name) => `  ${name}`)];
}
