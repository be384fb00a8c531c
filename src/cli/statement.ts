import { readStatements } from '../billing/statements.ts';
import { placePacks, writePacks } from '../billing/write-pack.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { idsOption, monthOption, required, textOption } from './options.ts';

export const statement = defineCommand({
  needs: 'database',
  options: {
    period: required(monthOption('the month that was closed')),
    out: required(textOption('DIR', 'the folder, which is made')),
    instance: idsOption('instance', 'only these instances'),
  },
  examples: ({ lastMonth: { name } }) => ({
    [`statement --period ${name} --out statement-${name}`]: 'the statement, and all that stands behind it',
  }),
  async run(context, { period: month, out, instance }) {
    const { output, signal } = context;
    const places = await withDatabase(context, async (handle) => {
      const chosen = await chooseBilledInstances(context, handle, instance);
      const all = await readStatements(handle.db, { month });
      const ids = chosen.map(({ instanceId }) => instanceId);
      const statements = all.filter(({ instanceId }) => ids.includes(instanceId));
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
      const statements = places.map(({ statement: each, folder }) => {
        const { statementId, instanceId, kind, closedAt, manifestSha256 } = each;
        return { statementId, instanceId, kind, closedAt, manifestSha256, folder };
      });
      output.printJson({ period: month, out, statements });
    } else {
      output.print(`Wrote ${count(places.length, 'statement')} of ${month} to ${out}.`);
      output.print(`To check: losant-usage verify ${out}`);
    }
    return EXIT.ok;
  },
});
