import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Env, type Running, type Spawned, spawnProgram, startProgram } from '../support/program.ts';

/** What the program is told of its surroundings; nothing else of this process's environment reaches it. */
export interface ProgramSettings {
  readonly apiUrl: string;
  readonly token: string;
  readonly instanceId: string;
  readonly databaseUrl: string;
  readonly more?: Readonly<Record<string, string>>;
}

/** The program within this process. */
export function startWith(args: readonly string[], settings: ProgramSettings): Running {
  return startProgram(args, envOf(settings));
}

/** The program as a process of its own, to be stopped and killed. */
export function spawnWith(
  args: readonly string[],
  settings: ProgramSettings,
  { closesStdout = false }: { readonly closesStdout?: boolean } = {},
): Spawned {
  const spawned = spawnProgram(args, envOf(settings));
  // Nobody reads what it prints.
  if (closesStdout) spawned.process.stdout?.destroy();
  return spawned;
}

function envOf({ apiUrl, token, instanceId, databaseUrl, more }: ProgramSettings): Env {
  return {
    TZ: 'Pacific/Auckland',
    NODE_COMPILE_CACHE: join(tmpdir(), 'losant-usage-test-compiled'),
    LOSANT_API_URL: apiUrl,
    LOSANT_API_TOKEN: token,
    LOSANT_INSTANCE_ID: instanceId,
    DATABASE_URL: databaseUrl,
    REQUESTS_PER_SECOND: '10000',
    LOG_LEVEL: 'warn',
    ...more,
  };
}
