import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { count } from '../terminal/words.ts';
import type { BaseContext } from './command.ts';

export interface SimulatorCommandOptions {
  readonly port: number;
  readonly orgs: number;
  readonly seed: string;
  readonly token: string | undefined;
}

/** A Losant API on loopback, until it is interrupted. */
export async function serveSimulator(
  { output, signal }: Pick<BaseContext, 'output' | 'signal'>,
  options: SimulatorCommandOptions,
): Promise<number> {
  const simulator = await start(options);
  const { url, instanceId, token } = simulator;
  if (output.json) output.printJson({ url, instanceId, token });
  else output.print(...render({ url, instanceId, token, orgs: options.orgs }));
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await simulator.close();
  return EXIT.ok;
}

/** A port that is taken or refused is for the caller to change. */
async function start(options: SimulatorCommandOptions): Promise<Simulator> {
  try {
    return await startSimulator(options);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const problem =
      code === 'EADDRINUSE' ? 'another process listens there' : 'this user may not listen there';
    throw new SettingsError(`--port ${options.port}: ${problem}`, {
      hint: 'use another port, or leave --port out to get a free one',
      cause: error,
    });
  }
}

function render({
  url,
  instanceId,
  token,
  orgs,
}: {
  url: string;
  instanceId: string;
  token: string;
  orgs: number;
}): string[] {
  return [
    `A simulated Losant with ${count(orgs, 'organization')} listens on ${url}. Stop it with Ctrl-C. In another terminal:`,
    '',
    `  export LOSANT_API_URL=${url} LOSANT_INSTANCE_ID=${instanceId} LOSANT_API_TOKEN=${token}`,
    '  export DATABASE_URL=embedded:./usage-data',
    '  npx losant-usage run',
  ];
}
