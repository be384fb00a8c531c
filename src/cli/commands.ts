import type { Command } from './command.ts';

/** A command in the list of commands. Its file is loaded only for its own help or to run it. */
export interface ListedCommand {
  /** The name; two words, such as `org show`, for a command about a thing. */
  readonly name: string;
  readonly group: string;
  /** One sentence, in lower case and without a full stop. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

const LOADERS = {
  run: async () => (await import('./run.ts')).run,
  worker: async () => (await import('./worker.ts')).worker,
  backfill: async () => (await import('./run.ts')).backfill,
  status: async () => (await import('./status.ts')).status,
  gaps: async () => (await import('./gaps.ts')).gaps,
  explain: async () => (await import('./explain.ts')).explain,
  export: async () => (await import('./export.ts')).exportFile,
  reconcile: async () => (await import('./reconcile.ts')).reconcile,
  waive: async () => (await import('./gaps.ts')).waive,
  close: async () => (await import('./close.ts')).close,
  statement: async () => (await import('./statement.ts')).statement,
  verify: async () => (await import('./statement.ts')).verify,
  'org show': async () => (await import('./org.ts')).orgShow,
  'org set': async () => (await import('./org-set.ts')).orgSet,
  'org delete': async () => (await import('./org-delete.ts')).orgDelete,
  check: async () => (await import('./check.ts')).check,
  migrate: async () => (await import('./migrate.ts')).migrate,
  simulator: async () => (await import('./simulator.ts')).simulator,
  demo: async () => (await import('./demo.ts')).demo,
} satisfies Readonly<Record<string, ListedCommand['load']>>;

/** What each command does, by the headings of help. A new command needs its file, a loader and a line here. */
const SUMMARIES: Readonly<Record<string, Readonly<Partial<Record<keyof typeof LOADERS, string>>>>> = {
  Export: {
    run: 'export now all that is due, or one day again',
    worker: 'export by schedule, unattended; serves metrics and the console',
    backfill: 'read a range of days; skips what is stored unless it is due',
  },
  Look: {
    status: 'how far the numbers reach, and the last runs; exits 3 if there is a gap',
    gaps: 'every number that is missing or in doubt; exits 3 if there is one',
    explain: 'where a number comes from, and what became of it',
    export: 'a view as a file: CSV, NDJSON or Parquet',
    reconcile: "our sums beside Losant's totals; exits 3 if settled numbers differ",
  },
  Decide: {
    waive: 'accept a number as it stands; the next good read lifts it',
    close: 'close a month: its numbers as a statement that nothing changes',
    statement: 'write the proof pack of a closed month into a folder',
    verify: 'check a proof pack, also against a database; exits 3 if it does not hold',
    'org show': 'an organization as Losant has it now',
    'org set': 'change an organization in Losant; needs LOSANT_ADMIN_TOKEN',
    'org delete': 'export and delete an organization; needs LOSANT_ADMIN_TOKEN',
  },
  'Set up': {
    check: 'check settings, database, clocks, token and scopes; changes nothing',
    migrate: 'bring the database to this version',
  },
  'Try out': {
    simulator: 'a Losant API on loopback, for trying out',
    demo: 'the whole product on the simulator, in a fresh folder',
  },
};

/** The commands in the order of help. */
export const commands: readonly ListedCommand[] = Object.entries(SUMMARIES).flatMap(([group, own]) =>
  Object.entries(own).map(([name, summary]) => {
    return { name, group, summary, load: LOADERS[name as keyof typeof LOADERS] };
  }),
);
