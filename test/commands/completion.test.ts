import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands, things } from '../../src/cli/commands.ts';
import { listForCompletion, renderCompletion } from '../../src/cli/x-completion-scripts.ts';
import { runProgram, startProcess } from '../support/program.ts';

let folder: string;
let script: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-completion-'));
  script = join(folder, 'completion.bash');
  const { code, stdout, stderr } = await runProgram(['completion', 'bash'], { LOSANT_TYPO: 'x' });
  if (code !== 0) throw new Error(stderr);
  writeFileSync(script, stdout);
  writeFileSync(join(folder, 'usage.yaml'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash offers after these words, the last of which is being typed. */
async function complete(...words: readonly string[]): Promise<string[]> {
  const line = ['losant-usage', ...words].map((word) => `'${word}'`).join(' ');
  const ask = `source '${script}'; cd '${folder}'; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _losant_usage; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = await startProcess('bash', ['--norc', '-c', ask], {}).ended;
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
}

describe('bash', () => {
  it('offers every command, and those that begin like the word', async () => {
    const names = commands.map(({ name }) => name).filter((name) => !name.includes(' '));
    const words = [...names, ...Object.keys(things), '--help', '--version'];
    expect((await complete('')).toSorted()).toEqual(words.toSorted());
    expect(await complete('mi')).toEqual(['migrate']);
  });

  it('offers what can be done to a thing, and the options of that', async () => {
    expect(await complete('org', '')).toEqual(['show', 'set', 'delete', '--help']);
    expect(await complete('org', 'de')).toEqual(['delete']);
    expect(await complete('org', 'set', '--d')).toEqual(['--description', '--disable', '--dry-run']);
    expect(await complete('org', 'set', '--audit-log', 'o')).toEqual(['on', 'off']);
  });

  it('offers the options of the command', async () => {
    expect(await complete('gaps', '--')).toEqual(['--all', '--help', '--json', '--config', '--no-color']);
    expect(await complete('run', '--d')).toEqual(['--date', '--dry-run']);
    expect(await complete('--no-color', 'run', '--past')).toEqual([]);
    expect(await complete('backfill', '--past')).toEqual(['--past-horizon']);
  });

  it('offers the values of an option: streams, shells and files', async () => {
    expect(await complete('run', '--stream', 'payload')).toEqual(['payload_totals', 'payload_sources']);
    expect(await complete('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(await complete('status', '--config', 'us')).toEqual(['usage.yaml']);
    expect(await complete('run', '--date', '')).toEqual([]);
  });
});

/** A command with everything that would end a quotation. */
const AWKWARD = [
  {
    name: 'mend',
    summary: "what's broken: all [of it]",
    values: ['a', 'b'],
    options: [
      { flag: '--org', summary: "it's this [one]", value: 'ID', choices: [], isPath: false, isList: true },
      {
        flag: '--stream',
        summary: 'a stream',
        value: 'NAME',
        choices: ['x', 'y'],
        isPath: false,
        isList: false,
      },
      { flag: '--config', summary: 'a file', value: 'FILE', choices: [], isPath: true, isList: false },
      { flag: '--all', summary: 'everything', value: null, choices: [], isPath: false, isList: false },
    ],
  },
];

describe('the other shells', () => {
  it('zsh is told commands, options, values and files', () => {
    expect(renderCompletion('zsh', AWKWARD)).toEqual([
      '#compdef losant-usage',
      '_losant_usage() {',
      '  local -a verbs',
      '  verbs=(',
      `    'mend:what'\\''s broken\\: all [of it]'`,
      '  )',
      '  if (( CURRENT == 2 )); then',
      "    _describe 'command' verbs",
      '    return',
      '  fi',
      '  local verb="$words[2]"',
      '  shift words; (( CURRENT-- ))',
      '  case "$verb" in',
      '    mend)',
      `      _arguments '1:value:(a b)' \\`,
      `        '*--org[it'\\''s this \\[one\\]]:ID: ' \\`,
      `        '--stream[a stream]:NAME:(x y)' \\`,
      `        '--config[a file]:FILE:_files' \\`,
      `        '--all[everything]' ;;`,
      '  esac',
      '}',
      '_losant_usage "$@"',
    ]);
  });

  it('fish is told commands, options, values and files', () => {
    const seen = `complete -c losant-usage -n '__fish_seen_subcommand_from mend'`;
    expect(renderCompletion('fish', AWKWARD)).toEqual([
      '# fish completion for losant-usage',
      'complete -c losant-usage -f',
      `complete -c losant-usage -n __fish_use_subcommand -a mend -d 'what\\'s broken: all [of it]'`,
      `${seen} -a a`,
      `${seen} -a b`,
      `${seen} -l org -x -d 'it\\'s this [one]'`,
      `${seen} -l stream -x -a 'x y' -d 'a stream'`,
      `${seen} -l config -r -F -d 'a file'`,
      `${seen} -l all -d 'everything'`,
    ]);
  });

  it.each(['zsh', 'fish'])('%s completes every command and each of its options', async (shell) => {
    const { code, stdout } = await runProgram(['completion', shell], {});
    expect(code).toBe(0);
    for (const { name, options } of await listForCompletion(commands)) {
      for (const word of name.split(' ')) expect(stdout).toContain(word);
      for (const { flag } of options)
        expect(stdout).toContain(shell === 'zsh' ? flag : `-l ${flag.slice(2)} `);
    }
  });
});
