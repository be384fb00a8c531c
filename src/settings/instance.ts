import { SettingsError } from '../errors.ts';
import { instanceSource, type SettingsFile } from './file.ts';
import { describeProblem, type Problem } from './problems.ts';
import { type Reading, readGroup, readSetting, type Source } from './reader.ts';
import { INSTANCE, type Values } from './table.ts';

/** One Losant instance: what is exported of it, and how fast. */
export interface InstanceConfig extends Omit<Values<typeof INSTANCE>, 'token'> {
  /** The token as it is now: a new one needs no restart. Throws SettingsError. */
  readonly readToken: () => string;
  /** Where the token comes from, to name in a hint: a variable, or a key of the settings file. */
  readonly tokenSource: string;
}

/** The instances that are described; null for each that is wrong. */
export function readInstances(
  file: SettingsFile | null,
  environment: Source,
  reading: Reading,
): (InstanceConfig | null)[] {
  if (file !== null) {
    return file.instances.map((_, i) => readInstance(instanceSource(file, i, environment), reading));
  }
  const isGiven = environment(INSTANCE.instanceId.env).raw !== undefined;
  return isGiven || reading.needs.includes('losant') ? [readInstance(environment, reading)] : [];
}

function readInstance(source: Source, reading: Reading): InstanceConfig | null {
  const values = readGroup(INSTANCE, source, reading);
  if (values === null) return null;
  const { token: _, ...rest } = values;
  const { env } = INSTANCE.token;
  const [direct, named] = [source(env), source(`${env}_FILE`)];
  const readToken = () => {
    const problems: Problem[] = [];
    const token = readSetting(INSTANCE.token, source, { ...reading, needs: ['losant'], problems });
    if (token !== null) return token;
    const [problem = { name: env, problem: 'is not set', remedy: INSTANCE.token.remedy }] = problems;
    throw new SettingsError(describeProblem(problem), { hint: problem.remedy });
  };
  return { ...rest, readToken, tokenSource: (named.raw === undefined ? direct : named).name };
}
