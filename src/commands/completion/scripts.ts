import type { Command } from '../command.ts';
import { flagName, type OptionSpec } from '../options.ts';

/** A command as a shell completes it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** Values of an argument that is given by its place. */
  readonly values: readonly string[];
}

interface CompletedOption {
  /** With its two dashes. */
  readonly flag: string;
  readonly summary: string;
  /** What its value is called; null: a switch. */
  readonly value: string | null;
  readonly choices: readonly string[];
  readonly isPath: boolean;
  readonly isList: boolean;
}

const NO_VALUE = { value: null, choices: [], isPath: false, isList: false };

export async function listForCompletion(commands: readonly Command[]): Promise<CompletedCommand[]> {
  return await Promise.all(
    commands.map(async ({ name, summary, options, json, needs }) => {
      const specs = Object.entries(options);
      const own = specs.filter(([, spec]) => !spec.isArgument).map(([key, spec]) => toOption(key, spec));
      const argument = specs.find(([, spec]) => spec.isArgument)?.[1];
      const common: CompletedOption[] = [{ flag: '--help', summary: 'show its help', ...NO_VALUE }];
      if (json !== false) common.push({ flag: '--json', summary: 'print one JSON document', ...NO_VALUE });
      if (needs !== 'none') {
        const config = { value: 'FILE', choices: [], isPath: true, isList: false };
        common.push({ flag: '--config', summary: 'settings file for several instances', ...config });
      }
      common.push({ flag: '--no-color', summary: 'print without colours', ...NO_VALUE });
      const values = (await argument?.choices?.()) ?? [];
      return { name, summary, values, options: [...(await Promise.all(own)), ...common] };
    }),
  );
}

async function toOption(name: string, spec: OptionSpec<unknown>): Promise<CompletedOption> {
  return {
    flag: flagName(name),
    summary: spec.summary,
    value: spec.value,
    choices: (await spec.choices?.()) ?? [],
    isPath: spec.isPath ?? false,
    isList: spec.isList ?? false,
  };
}

/** The script's lines for `bash`, `zsh` or `fish`. */
export function renderCompletion(shell: string, commands: readonly CompletedCommand[]): string[] {
  if (shell === 'zsh') return renderZsh(commands);
  return shell === 'fish' ? renderFish(commands) : renderBash(commands);
}

function renderBash(commands: readonly CompletedCommand[]): string[] {
  const reply = (words: readonly string[]) => `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$current"))`;
  const valueCases = commands.flatMap(({ name, options }) =>
    options
      .filter(({ value }) => value !== null)
      .map(({ flag, choices, isPath }) => {
        const files = 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"))';
        return `    "${name} ${flag}") ${isPath ? files : reply(choices)}; return ;;`;
      }),
  );
  const verbs = [...commands.map(({ name }) => name), '--help', '--version'];
  return [
    '# bash completion for losant-usage',
    '_losant_usage() {',
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" verb="" word',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    case "$word" in -*) ;; *) verb="$word"; break ;; esac',
    '  done',
    '  case "$verb $previous" in',
    ...valueCases,
    '  esac',
    '  case "$verb" in',
    `    "") ${reply(verbs)} ;;`,
    ...commands.map(({ name, options, values }) => {
      return `    ${name}) ${reply([...values, ...options.map(({ flag }) => flag)])} ;;`;
    }),
    '  esac',
    '}',
    'complete -F _losant_usage losant-usage',
  ];
}

function renderZsh(commands: readonly CompletedCommand[]): string[] {
  return [
    '#compdef losant-usage',
    '_losant_usage() {',
    '  local -a verbs',
    '  verbs=(',
    ...commands.map(({ name, summary }) => `    ${quote(`${name}:${summary.replaceAll(':', '\\:')}`)}`),
    '  )',
    '  if (( CURRENT == 2 )); then',
    "    _describe 'command' verbs",
    '    return',
    '  fi',
    '  local verb="$words[2]"',
    '  shift words; (( CURRENT-- ))',
    '  case "$verb" in',
    ...commands.flatMap(({ name, options, values }) => [
      `    ${name})`,
      `      _arguments${values.length > 0 ? ` ${quote(`1:value:(${values.join(' ')})`)}` : ''} \\`,
      ...options.map((option, index) => {
        return `        ${quote(zshSpec(option))}${index === options.length - 1 ? ' ;;' : ' \\'}`;
      }),
    ]),
    '  esac',
    '}',
    '_losant_usage "$@"',
  ];
}

function zshSpec({ flag, summary, value, choices, isPath, isList }: CompletedOption): string {
  const text = summary.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const spec = `${isList ? '*' : ''}${flag}[${text}]`;
  if (value === null) return spec;
  const action = isPath ? '_files' : choices.length > 0 ? `(${choices.join(' ')})` : ' ';
  return `${spec}:${value.replaceAll(':', '\\:')}:${action}`;
}

function renderFish(commands: readonly CompletedCommand[]): string[] {
  const complete = 'complete -c losant-usage';
  return [
    '# fish completion for losant-usage',
    `${complete} -f`,
    ...commands.map(
      ({ name, summary }) => `${complete} -n __fish_use_subcommand -a ${name} -d ${fishQuote(summary)}`,
    ),
    ...commands.flatMap(({ name, options, values }) => {
      const when = `-n ${fishQuote(`__fish_seen_subcommand_from ${name}`)}`;
      const words = values.map((value) => `${complete} ${when} -a ${value}`);
      const flags = options.map(({ flag, summary, value, choices, isPath }) => {
        const takes = value === null ? '' : isPath ? ' -r -F' : ' -x';
        const from = choices.length > 0 ? ` -a ${fishQuote(choices.join(' '))}` : '';
        return `${complete} ${when} -l ${flag.slice(2)}${takes}${from} -d ${fishQuote(summary)}`;
      });
      return [...words, ...flags];
    }),
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
