import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { idsOption, monthOption, required, textOption } from './options.ts';

export const statement = defineCommand({
  name: 'statement',
  summary: 'write the proof pack of a closed period into a folder',
  group: 'Decide',
  needs: 'database',
  options: {
    period: required(monthOption('the month that was closed')),
    out: required({ ...textOption('DIR', 'the folder, which is made'), isPath: true }),
    instance: idsOption('instance', 'only these instances'),
  },
  examples: [
    {
      args: 'statement --period 2026-10 --out statement-2026-10',
      does: 'the statement, and all that stands behind it',
    },
  ],
  async run(context, { period: month, out, instance }) {
    const { output, signal } = context;
    const { withDatabase } = await import('./open-database.ts');
    const { chooseBilledInstances } = await import('./instances.ts');
    const { readStatements } = await import('../database/read/statements.ts');
    const { placePacks, writePacks } = await import('../billing/write-pack.ts');
    const places = await withDatabase(context, async (handle) => {
      const chosen = await chooseBilledInstances(context, handle, instance);
      const all = await readStatements(handle.db, { month });
      const statements = all.filter((each) =>
        chosen.some(({ instanceId }) => instanceId === each.instanceId),
      );
      if (statements.length === 0) {
        throw new SettingsError(`${month} is not closed, so there is no statement of it`, {
          hint: `close it first: losant-usage close --period ${month}`,
        });
      }
      const placed = placePacks(statements);
      await writePacks(handle, placed, { out, signal });
      return placed;
    });
    if (output.json) {
      output.printJson({
        period: month,
        out,
        statements: places.map(
          ({ statement: { statementId, instanceId, kind, closedAt, manifestSha256 }, folder }) => ({
            ...{ statementId, instanceId, kind, closedAt, manifestSha256, folder },
          }),
        ),
      });
    } else {
      output.print(`Wrote ${count(places.length, 'statement')} of ${month} to ${out}.`);
      output.print(`To check: losant-usage verify ${out}`);
    }
    return EXIT.ok;
  },
});
