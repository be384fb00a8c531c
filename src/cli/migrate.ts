import { type CopiedTable, copyDatabase } from '../database/copy.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { migrateToHead, readPending, requireSchema } from '../database/migrate.ts';
import { createDatabase } from '../database/open.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { type Line, renderTable } from '../terminal/text.ts';
import { count, showNumber } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openDatabase, requireWritable, useDatabase } from './open-database.ts';
import { switchOption, textOption } from './options.ts';

export const migrate = defineCommand({
  needs: ['database'],
  options: {
    dryRun: switchOption('only list what would be applied'),
    fromEmbedded: textOption(
      'DIR',
      'copy the embedded database of this folder into the new one, with all records',
    ),
  },
  examples: () => ({
    'migrate --dry-run': 'what an upgrade would change',
    migrate: 'all of it, in one transaction',
    'migrate --from-embedded usage': 'from DATABASE_URL=embedded:usage to a server',
  }),
  async run(context, { dryRun, fromEmbedded }) {
    const { output } = context;
    if (dryRun && fromEmbedded !== null) {
      throw new SettingsError('--dry-run and --from-embedded exclude each other', {
        hint: 'a copy is made as a whole or not at all, and leaves the folder as it is',
      });
    }
    const handle = await openDatabase(context, { ifMissing: dryRun ? 'stand_in' : 'create' });
    return await useDatabase(handle, async () => {
      if (!dryRun) requireWritable(handle);
      const names = dryRun ? await readPending(handle) : await migrateToHead(handle);
      const copied = fromEmbedded === null ? null : await copyFrom(context, handle, fromEmbedded);
      output.printJson(dryRun ? { pending: names } : { applied: names, ...(copied && { copied }) });
      output.print(...render(handle.describe, names, dryRun), ...renderCopied(copied));
      return EXIT.ok;
    });
  },
});

async function copyFrom(
  { logger }: CommandContext,
  handle: DatabaseHandle,
  folder: string,
): Promise<CopiedTable[]> {
  if (handle.kind === 'embedded') {
    throw new SettingsError('DATABASE_URL is an embedded database itself', {
      hint: 'set it to postgres://USER:PASSWORD@HOST:5432/NAME; a folder can be copied as files while nothing uses it',
    });
  }
  const own = { applicationName: 'losant-usage', poolSize: 1, ifMissing: 'refuse', logger } as const;
  const source = await createDatabase({ url: `embedded:${folder}`, ...own });
  return await useDatabase(source, async () => {
    await requireSchema(source, { createIfEmpty: false, autoMigrate: false });
    return await copyDatabase(source, handle);
  });
}

function render(database: string, names: readonly string[], dryRun: boolean): string[] {
  if (names.length === 0) return [`The database at ${database} is up to date.`];
  const done = `${count(names.length, 'migration')} ${dryRun ? 'to be applied to' : 'applied to'} ${database}:`;
  return [done, ...names.map((name) => `  ${name}`)];
}

function renderCopied(copied: readonly CopiedTable[] | null): Line[] {
  if (copied === null) return [];
  if (copied.length === 0) return ['There was nothing to copy.'];
  const rows = copied.map(({ table, rows: number }) => [table, showNumber(number)]);
  return [
    'Copied, with the record of changes; the folder is as it was:',
    ...renderTable({ rows, right: [1] }),
  ];
}
