/** Defects in commands and their options. */
import { plant } from './mutant.ts';

export const commandMutants = [
  plant(
    { file: 'src/queries/gaps.ts', test: 'test/commands/never-read.test.ts' },
    {
      'An instance in the settings that no run has tried to read is a gap': [
        'instanceIds.filter((id) => !triedIds.has(id))',
        'instanceIds.filter((id) => triedIds.has(id))',
      ],
      'In a new database, no instance is a gap': ['idsInUse.length === 0 ? []', 'idsInUse.length < 0 ? []'],
    },
  ),
  plant(
    { file: 'src/cli/status.ts', test: 'test/commands/never-read.test.ts', only: 'no run has tried' },
    {
      'The command status exits with 3 for an instance that no run has tried to read': [
        'health.untriedInstances.length === 0 &&',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/cli/probe.ts', test: 'test/commands/check.test.ts' },
    {
      'The probe of totals adds up the organizations of all pages': [
        'if (orgId !== null) orgIds.add(orgId);',
        'if (orgId !== null && orgIds.size === 0) orgIds.add(orgId);',
      ],
      'The probe of totals shows what the instance has no number for': [
        'of getStream(stream).columns',
        'of Object.keys(totals)',
      ],
    },
  ),
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
    { file: 'src/cli/retire.ts', test: 'test/commands/never-read.test.ts' },
    {
      'An instance that the database does not have is not reported as retired': [
        'await recordRetirement(handle.db, instanceId);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/cli/retire.ts', test: 'test/commands/looking.test.ts' },
    {
      'Nothing needs attention of a retired instance': ['await forgetAttention(handle.db, instanceId);', ''],
    },
  ),
  plant(
    { file: 'src/cli/status.ts', test: 'test/commands/looking.test.ts' },
    { 'A digest does not name retired instances': ['.filter((id) => !retiredIds.has(id))', ''] },
  ),
  plant(
    { file: 'src/cli/close.ts', test: 'test/billing/commands.test.ts' },
    {
      'The command that accepts blockers names the instance of its hash': [
        ' --instance ${instance.instanceId}${adjust',
        '${adjust',
      ],
      'The list of a named instance has commands that close no other one': [
        'instances.length === 1 && !isNamed',
        'instances.length === 1',
      ],
      'Instances with nothing to bill do not fail a month that others have': [
        'isNamed ? instances : await skipEmpty(context, handle, { instances, month })',
        'instances',
      ],
    },
  ),
  plant(
    { file: 'src/billing/close.ts', test: 'test/billing/commands.test.ts' },
    {
      'Blockers of an adjustment are accepted only if something can be billed': [
        'if (isAdjustment && draft.lineCount === 0) {',
        'if (isAdjustment && draft.lineCount === 0 && (blockersHash === null || acceptance !== null)) {',
      ],
    },
  ),
  plant(
    { file: 'src/cli/org-delete.ts', test: 'test/commands/org.test.ts' },
    {
      'The waiver of the days that a deletion leaves is printed': ["standing === 'unavailable')", 'standing === null)'],
    },
  ),
  plant(
    { file: 'src/files/atomic-file.ts', test: 'test/files/atomic-file.test.ts' },
    {
      'A folder that is a link is filled where it points': [
        'await realpath(out).catch(() => resolve(out))',
        'resolve(out)',
      ],
    },
  ),
  plant(
    { file: 'src/files/atomic-file.ts', test: 'test/files/atomic-file.test.ts' },
    {
      'A file is on the disk before it has its name': ['await handle.sync();', ''],
    },
  ),
  plant(
    { file: 'src/terminal/text.ts', test: 'test/terminal/text.test.ts' },
    {
      'No invisible mark reaches a terminal': ['\\u2060-\\u206f', '\\u2066-\\u206f'],
    },
  ),
  plant(
    { file: 'src/database/embedded.ts', test: 'test/e2e/refusals.test.ts', only: 'other files' },
    {
      'An embedded database is not created among other files': ['    requireOwnFolder(folder);\n', ''],
    },
  ),
  plant(
    { file: 'src/terminal/words.ts', test: 'test/settings/config.test.ts' },
    {
      'A long path is quoted with its end': ["text.includes('/') && !text.includes('://')", 'false'],
    },
  ),
  plant(
    { file: 'src/settings/config.ts', test: 'test/settings/config.test.ts' },
    {
      'A setting that is missing is found under a similar name': [
        'if (misspelling !== undefined) return',
        'if (false) return',
      ],
    },
  ),
  plant(
    { file: 'src/settings/config.ts', test: 'test/settings/config.test.ts' },
    {
      'Contradictions are reported next to other invalid settings': [
        'policy === undefined ? []',
        'policy === undefined || shared === undefined ? []',
      ],
    },
  ),
  plant(
    { file: 'src/settings/kinds.ts', test: 'test/settings/config.test.ts' },
    {
      'A second sslmode does not turn encryption off': [
        'new Set(listParameters(url)).size === listParameters(url).length',
        'true',
      ],
      'A host in a parameter is that of the connection': ["parameters.get('host') || hosts", 'hosts'],
    },
  ),
  plant(
    { file: 'src/settings/sources.ts', test: 'test/settings/config.test.ts' },
    {
      'All unknown keys are named': ['issue.keys.map((key) => {', 'issue.keys.slice(0, 1).map((key) => {'],
    },
  ),
  plant(
    { file: 'src/queries/health.ts', test: 'test/commands/looking.test.ts', only: 'final restatements' },
    {
      'Final restatements of the last 30 days are counted': [
        'const RECENT_RESTATEMENT_DAYS = 30;',
        'const RECENT_RESTATEMENT_DAYS = 3;',
      ],
    },
  ),
  plant(
    { file: 'src/queries/explain.ts', test: 'test/commands/looking.test.ts' },
    {
      'No command reads a retired instance again': [' && !org.isRetired;', ';'],
      'A stored cell of a retired instance can be waived': [
        "if (org.isRetired && !isSettled(ledger.standing) && ledger.standing !== 'unavailable')",
        'if (false)',
      ],
    },
  ),
  plant(
    { file: 'src/queries/reconciliation.ts', test: 'test/ledger/sums.test.ts' },
    {
      'Sums are checked on every day of a month': [
        "+ interval '1 month'\n      ) as d",
        "+ interval '1 day'\n      ) as d",
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
