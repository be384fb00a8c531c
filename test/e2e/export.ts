import type { SimulatorOptions } from '../../simulator/server.ts';
import { useOpened } from '../opened.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import {
  type Ended,
  type Env,
  type Running,
  runProgram,
  type Spawned,
  spawnProgram,
  startProgram,
} from '../support/program.ts';
import { createPlace, type Place } from './usage.ts';

/** As fast as the machine is. */
const FAST: Env = { REQUESTS_PER_SECOND: '2000', REQUEST_CONCURRENCY: '32', LOG_LEVEL: 'info' };

/** A platform at today's date, or at that of `now`, and a database to export it to. */
export interface Export {
  readonly platform: Platform;
  readonly place: Place;
  /** What the program is told, unless a test tells it something else. */
  readonly env: Env;
  readonly run: (args: readonly string[], env?: Env) => Promise<Ended>;
  readonly start: (args: readonly string[], env?: Env) => Running;
  /** As a process of its own, for what only a process shows. */
  readonly spawn: (args: readonly string[], env?: Env) => Spawned;
  close(): Promise<void>;
}

export async function openExport(
  options: SimulatorOptions = {},
  given: Place['kind'] | Place = 'postgres',
): Promise<Export> {
  const { now: hostNow = Date.now } = options;
  const platform = await startPlatform({ now: hostNow, ...options });
  const place = typeof given === 'string' ? await createPlace(given) : given;
  const env = {
    ...FAST,
    LOSANT_API_URL: platform.url,
    LOSANT_INSTANCE_ID: platform.instanceId,
    LOSANT_API_TOKEN: platform.token,
    DATABASE_URL: place.url,
  };
  return {
    platform,
    place,
    env,
    run: (args, changes = {}) => runProgram(args, { ...env, ...changes }, { hostNow }),
    start: (args, changes = {}) => startProgram(args, { ...env, ...changes }, { hostNow }),
    spawn: (args, changes = {}) => spawnProgram(args, { ...env, ...changes }),
    close: async () => {
      await platform[Symbol.asyncDispose]();
      await place.remove();
    },
  };
}

/** One for the tests of a file. */
export function useExport(options: SimulatorOptions = {}): Export {
  return useOpened(
    () => openExport(options),
    (opened) => opened.close(),
  );
}

/** The ids of all organizations, in order, in lower case: those of deleted ones too. */
export async function orgIdsOf({ control }: Pick<Platform, 'control'>): Promise<string[]> {
  const { orgs } = (await control('orgs')) as { orgs: { orgId: string }[] };
  return orgs.map(({ orgId }) => orgId);
}
