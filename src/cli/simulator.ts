import { once } from 'node:events';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../simulator/server.ts';
import { SettingsError } from '../errors.ts';
import { number } from '../settings/kinds.ts';
import { count } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { optionalOption, text } from './options.ts';

const ORGS = 25;

export const simulator = defineCommand({
  needs: null,
  options: {
    port: optionalOption(
      'PORT',
      'port to listen on',
      number(0, 65_535, '0 picks a free port'),
      'any free port',
    ),
    orgs: optionalOption('N', 'number of organizations', number(0, 1_000_000, 'organizations'), `${ORGS}`),
    seed: optionalOption('TEXT', 'seed that all data is generated from', text, '1'),
    token: optionalOption('TOKEN', 'the API token to accept', text, 'derived from the seed'),
  },
  async run({ output, signal }, { port, orgs, seed, token }) {
    const size = orgs ?? ORGS;
    const platform = await startOnPort({
      port: port ?? 0,
      orgs: size,
      seed: seed ?? '1',
      token: token ?? undefined,
    });
    const { url, instanceId, token: apiToken } = platform;
    output.printJson({ url, instanceId, token: apiToken });
    output.print(
      `Simulated Losant with ${count(size, 'organization')} at ${url}. Press Ctrl-C to stop.`,
      'In another terminal:',
      '',
      `  export LOSANT_API_URL=${url} LOSANT_INSTANCE_ID=${instanceId} LOSANT_API_TOKEN=${apiToken}`,
      '  export DATABASE_URL=embedded:./usage-data',
      '  losant-usage run',
    );
    if (!signal.aborted) await once(signal, 'abort');
    await platform.close();
    return {};
  },
});

async function startOnPort(options: SimulatorOptions & { readonly port: number }): Promise<Simulator> {
  try {
    return await startSimulator(options);
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new SettingsError(`--port ${options.port}: ${error.message}`, {
      hint: 'use another port, or omit --port for a free one',
      cause: error,
    });
  }
}
