import { SettingsError } from '../errors.ts';
import type { Tag } from '../usage/organization.ts';
import { idOption, idsOption, type OptionSpec, required } from './options.ts';

/** Which organization, for every command about one. */
export const placeOptions = {
  org: required(idOption('organization', 'the organization')),
  instance: idsOption('instance', 'look for it in these instances only'),
};

/** Limits by name, each once. */
export const limitOption: OptionSpec<Readonly<Record<string, number>> | null> = {
  value: 'NAME=N',
  summary: 'set a limit; the others stay',
  isRepeated: true,
  absent: null,
  read: (text, previous) => {
    const [, name = '', number = ''] = /^([^=]+)=(\d{1,15})$/.exec(text) ?? [];
    if (name === '') throw wrong('A limit is written NAME=N, N a whole number of 0 or more.');
    if (previous !== null && Object.hasOwn(previous, name)) throw wrong(`Give ${name} once.`);
    return { ...previous, [name]: Number(number) };
  },
};

export const tagOption: OptionSpec<readonly Tag[] | null> = {
  value: 'KEY=VALUE',
  summary: 'set a tag, in place of all with its key; the others stay',
  isRepeated: true,
  absent: null,
  read: (text, previous) => {
    const [, key = '', value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (value === '') throw wrong('A tag is written KEY=VALUE.');
    return [...(previous ?? []), { key, value }];
  },
};

export const onOffOption = (summary: string): OptionSpec<boolean | null> => ({
  value: 'on|off',
  summary,
  absent: null,
  choices: () => Promise.resolve(['on', 'off']),
  read: (text) => {
    if (text === 'on' || text === 'off') return text === 'on';
    throw wrong('Use on or off.');
  },
});

function wrong(message: string): SettingsError {
  return new SettingsError(message, { hint: 'correct it and start again' });
}
