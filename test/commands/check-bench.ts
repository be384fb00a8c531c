import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { type Ended, type Env, jsonOf, runProgram } from '../support/program.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string | null;
}

/** What `check --json` prints. */
export interface CheckDocument {
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly probe?: readonly {
    readonly question: string;
    readonly answer: string;
    readonly touches: string;
  }[];
}

/** A database with all tables, and for each test a platform of three organizations. */
export interface CheckBench {
  readonly platform: Platform;
  readonly database: TestDatabase;
  /** Settings under which everything is fine. */
  readonly env: Env;
  check(changes?: Env, ...args: readonly string[]): Promise<Ended & { readonly document: CheckDocument }>;
}

export function useCheckBench(): CheckBench {
  let platform: Platform;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    platform = await startPlatform({ now: Date.now, orgs: 3 });
  });
  afterEach(() => platform[Symbol.asyncDispose]());
  return {
    get platform() {
      return platform;
    },
    get database() {
      return database;
    },
    get env() {
      return {
        LOSANT_API_URL: platform.url,
        LOSANT_INSTANCE_ID: platform.instanceId,
        LOSANT_API_TOKEN: platform.token,
        DATABASE_URL: database.url,
        REQUESTS_PER_SECOND: '500',
      };
    },
    async check(changes = {}, ...args) {
      const ended = await runProgram(['check', '--json', ...args], { ...this.env, ...changes });
      return { ...ended, document: jsonOf<CheckDocument>(ended) };
    },
  };
}

export const failedOf = ({ checks }: CheckDocument) => checks.filter(({ ok }) => !ok);
export const namesOf = (checks: readonly Check[]) => checks.map(({ name }) => name);
