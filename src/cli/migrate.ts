import { migrateToHead, readPending } from '../database/migrate.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { openDatabase, requireWritable } from './database.ts';
import { flagOption } from './options.ts';

export const migrate = defineCommand({
  needs: ['database'],
  role: 'losant_usage_migrator',
  options: { dryRun: flagOption('list pending migrations without applying them') },
  async run(context, { dryRun }) {
    await using handle = await openDatabase(context, { ifMissing: dryRun ? 'stand_in' : 'create' });
    if (!dryRun) requireWritable(handle, context.role);
    const names = dryRun ? await readPending(handle) : await migrateToHead(handle);
    const document = dryRun ? { pending: names } : { applied: names };
    return { document, lines: renderMigrations(handle.label, names, dryRun) };
  },
});

function renderMigrations(database: string, names: readonly string[], isDryRun: boolean): string[] {
  if (names.length === 0) return [`The database at ${database} is up to date.`];
  const head = `${count(names.length, 'migration')} ${isDryRun ? 'pending for' : 'applied to'} ${database}:`;
  return [head, ...names.map((name) => `  ${name}`)];
}
