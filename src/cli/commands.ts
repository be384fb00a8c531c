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

/** The things that commands of two words are about, with a summary for help. */
export const things: Readonly<Record<string, string>> = {
  org: 'show, change or delete an organization in Losant',
};

/** Every command, by heading and name. A new one needs its file and an entry here. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, Omit<ListedCommand, 'name' | 'group'>>>>> = {
  Export: {
    run: {
      summary: 'export now all that is due, or one day again',
      load: async () => (await import('./run.ts')).run,
    },
    worker: {
      summary: 'the unattended service: exports by schedule, serves health, metrics and the console',
      load: async () => (await import('./worker.ts')).worker,
    },
    backfill: {
      summary: 'read a range of days; skips what is stored unless it is due',
      load: async () => (await import('./run.ts')).backfill,
    },
  },
  Look: {
    status: {
      summary: 'how far the numbers reach, and the last runs; exits 3 if there is a gap',
      load: async () => (await import('./status.ts')).status,
    },
    gaps: {
      summary: 'every number that is missing or in doubt; exits 3 if there is one',
      load: async () => (await import('./gaps.ts')).gaps,
    },
    explain: {
      summary: 'where a number comes from, and what became of it',
      load: async () => (await import('./explain.ts')).explain,
    },
    export: {
      summary: 'a view as a file: CSV, NDJSON or Parquet',
      load: async () => (await import('./export.ts')).exportFile,
    },
    reconcile: {
      summary: "our sums beside Losant's own totals; exits 3 if final numbers differ",
      load: async () => (await import('./reconcile.ts')).reconcile,
    },
  },
  Decide: {
    waive: {
      summary: 'accept a number that is missing or in doubt as it stands; the next good read lifts it',
      load: async () => (await import('./gaps.ts')).waive,
    },
    close: {
      summary: 'close a billing period: its numbers as a statement that nothing changes',
      load: async () => (await import('./close.ts')).close,
    },
    statement: {
      summary: 'write the proof pack of a closed period into a folder',
      load: async () => (await import('./statement.ts')).statement,
    },
    verify: {
      summary:
        'check a proof pack, and where a database is configured, against it; exits 3 if anything differs',
      load: async () => (await import('./statement.ts')).verify,
    },
    'org show': {
      summary: 'an organization as Losant has it now',
      load: async () => (await import('./org.ts')).orgShow,
    },
    'org set': {
      summary: 'change an organization in Losant; needs LOSANT_ADMIN_TOKEN',
      load: async () => (await import('./org-set.ts')).orgSet,
    },
    'org delete': {
      summary: 'export the last days of an organization and delete it in Losant; needs LOSANT_ADMIN_TOKEN',
      load: async () => (await import('./org-delete.ts')).orgDelete,
    },
  },
  'Set up': {
    check: {
      summary: 'check settings, database, clock, token and scopes; changes nothing',
      load: async () => (await import('./check.ts')).check,
    },
    migrate: {
      summary: 'bring the database to this version',
      load: async () => (await import('./migrate.ts')).migrate,
    },
  },
  'Try out': {
    simulator: {
      summary: 'a Losant API on loopback, for trying out',
      load: async () => (await import('./simulator.ts')).simulator,
    },
    demo: {
      summary: 'the whole product on the simulator, in a fresh folder',
      load: async () => (await import('./demo.ts')).demo,
    },
  },
};

/** The commands in the order of help. */
export const commands: readonly ListedCommand[] = Object.entries(GROUPS).flatMap(([group, own]) =>
  Object.entries(own).map(([name, listed]) => ({ name, group, ...listed })),
);
