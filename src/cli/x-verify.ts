import { EXIT } from '../exit.ts';
import { defineCommand } from './command.ts';
import { folderArgument } from './options.ts';

export const verify = defineCommand({
  name: 'verify',
  summary: 'check a proof pack, and where a database is configured, against it; exits 3 if anything differs',
  group: 'Decide',
  needs: 'database_if_set',
  options: { dir: folderArgument('a folder that statement has written') },
  examples: [{ args: 'verify statement-2026-10', does: 'hashes, sums, completeness; then the database' }],
  async run(context, { dir }) {
    const { output } = context;
    const { verifyFolder } = await import('./verify.ts');
    const { packs, problems, database } = await verifyFolder(context, dir);
    if (output.json) {
      const statements = packs.map(({ folder, manifest: { statement }, manifestSha256 }) => ({
        ...{ folder, statementId: statement.id, instanceId: statement.instanceId, period: statement.month },
        ...{ kind: statement.kind, manifestSha256 },
      }));
      output.printJson({ dir, ok: problems.length === 0, database, statements, problems });
    } else {
      const { renderVerified } = await import('./x-verify-render.ts');
      output.print(...renderVerified({ dir, packs, problems, database }));
    }
    return problems.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
});
