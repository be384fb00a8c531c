/** Defects in commands and their options. */
import { plant } from './mutant.ts';

export const commandMutants = [
  plant(
    { file: 'src/cli/options.ts', test: 'test/commands/command-line.test.ts' },
    {
      'A placeholder in a printed command is not a reason': [
        `!['', 'TEXT', 'REASON'].includes(value.replaceAll(/\\P{L}/gu, '').toUpperCase())`,
        `value !== ''`,
      ],
    },
  ),
  plant(
    { file: 'src/cli/retire.ts', test: 'test/commands/command-line.test.ts' },
    {
      'An instance in the settings is not retired': [
        'if (config.instances.some((each) => each.instanceId === instanceId)) {',
        'if (instanceId === config.logLevel) {',
      ],
    },
  ),
  plant(
    { file: 'src/cli/retire.ts', test: 'test/commands/looking.test.ts' },
    {
      'An instance that the database does not have is not reported as retired': [
        'await recordRetirement(handle.db, instanceId);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/cli/close.ts', test: 'test/billing/commands.test.ts' },
    {
      'The command that accepts blockers names the instance of its hash': [
        ' --instance ${instance.instanceId}${adjust',
        '${adjust',
      ],
    },
  ),
  plant(
    { file: 'src/queries/reconciliation.ts', test: 'test/commands/looking.test.ts' },
    {
      'By default, reconcile starts 30 days before --to': [
        'addDays(to, -RECENT_DAYS);',
        'addDays(to, 1 - RECENT_DAYS);',
      ],
    },
  ),
].flat();
