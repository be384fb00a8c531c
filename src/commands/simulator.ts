import { EXIT } from '../exit.ts';
import { startSimulator } from '../../simulator/server.ts';
import { type Output, printJson } from './command.ts';

export interface SimulatorCommandOptions {
  readonly port: number;
  readonly orgs: number;
  readonly seed: string;
  readonly token: string | undefined;
}

/** `simulator`: a Losant API on loopback, until it is interrupted. */
export async function simulatorCommand(
  { output, signal }: { output: Output; signal: AbortSignal },
  options: SimulatorCommandOptions,
): Promise<number> {
  const simulator = await startSimulator(options);
  const { url, instanceId, token } = simulator;
  if (output.json) printJson(output, { url, instanceId, token });
  else output.write(render({ url, instanceId, token, orgs: options.orgs }));
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await simulator.close();
  return EXIT.ok;
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
}): string {
  return `A simulated Losant with ${orgs} organizations listens on ${url}. Stop it with Ctrl-C. In another terminal:

  export LOSANT_API_URL=${url} LOSANT_INSTANCE_ID=${instanceId} LOSANT_API_TOKEN=${token}
  export DATABASE_URL=embedded:./usage-data
  npx losant-usage run
`;
}
