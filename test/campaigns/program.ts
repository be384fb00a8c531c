import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ended, startProgram as start } from '../support/program.ts';

/** The program as a process of its own. */
export interface Program {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** What the program is told of its surroundings; nothing else of this process's environment reaches it. */
export interface ProgramSettings {
  readonly apiUrl: string;
  readonly token: string;
  readonly instanceId: string;
  readonly databaseUrl: string;
  readonly more?: Readonly<Record<string, string>>;
}

export function startProgram(
  args: readonly string[],
  settings: ProgramSettings,
  { closesStdout = false }: { readonly closesStdout?: boolean } = {},
): Program {
  const { process: child, ended } = start(args, {
    TZ: 'Pacific/Auckland',
    NODE_COMPILE_CACHE: join(tmpdir(), 'losant-usage-test-compiled'),
    LOSANT_API_URL: settings.apiUrl,
    LOSANT_API_TOKEN: settings.token,
    LOSANT_INSTANCE_ID: settings.instanceId,
    DATABASE_URL: settings.databaseUrl,
    REQUESTS_PER_SECOND: '10000',
    LOG_LEVEL: 'warn',
    ...settings.more,
  });
  // Nobody reads what it prints.
  if (closesStdout) child.stdout?.destroy();
  const { pid } = child;
  if (pid === undefined) throw new Error('the program did not start');
  return { pid, ended, kill: (signal) => void child.kill(signal) };
}
