import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands, things } from '../../src/cli/commands.ts';
import { LAUNCHER, runProgram, startProcess } from '../support/program.ts';

/** What a shell is offered in place of the last of these words. */
async function complete(...words: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await runProgram(['complete', '--', ...words], { LOSANT_TYPO: 'x' });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.replace(/\t.*/, '')]));
}

describe('a shell is offered', () => {
  it('every command, and those that begin like the word', async () => {
    const names = commands.map(({ name }) => name).filter((name) => !name.includes(' '));
    const words = [...names, ...Object.keys(things), '--help', '--version'];
    expect((await complete('')).toSorted()).toEqual(words.toSorted());
    expect(await complete('mi')).toEqual(['migrate']);
  });

  it('what can be done to a thing, and the options of that', async () => {
    expect(await complete('org', '')).toEqual(['show', 'set', 'delete', '--help']);
    expect(await complete('org', 'de')).toEqual(['delete']);
    expect(await complete('org', 'set', '--d')).toEqual(['--description', '--disable', '--dry-run']);
    expect(await complete('org', 'set', '--audit-log', 'o')).toEqual(['on', 'off']);
  });

  it('the options of the command', async () => {
    expect(await complete('gaps', '--')).toEqual(['--all', '--json', '--config', '--no-color', '--help']);
    expect(await complete('run', '--d')).toEqual(['--date', '--dry-run']);
    expect(await complete('--no-color', 'run', '--past')).toEqual([]);
    expect(await complete('backfill', '--past')).toEqual(['--past-horizon']);
  });

  it('the values of an option, and nothing where only the user knows them', async () => {
    expect(await complete('run', '--stream', 'payload')).toEqual([
      'payload_totals',
      'payload_sources',
      'payload_hours',
    ]);
    expect(await complete('export', '--format', '')).toEqual(['csv', 'ndjson', 'parquet']);
    expect(await complete('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(await complete('run', '--date', '')).toEqual([]);
    expect(await complete('nonsense', '')).toEqual([]);
  });

  it('a word about each', async () => {
    const { stdout } = await runProgram(['complete', '--', 'gaps', '--al'], {});
    expect(stdout).toBe('--all\talso what is unavailable or accepted, which is no gap\n');
  });
});

describe('the script of bash', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'losant-usage-completion-'));
    const { stdout } = await runProgram(['completion', 'bash'], {});
    writeFileSync(join(folder, 'completion.bash'), stdout);
    writeFileSync(join(folder, 'losant-usage'), `#!/bin/sh\nexec '${process.execPath}' '${LAUNCHER}' "$@"\n`);
    chmodSync(join(folder, 'losant-usage'), 0o755);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('asks the program', async () => {
    const ask = `PATH="${folder}:$PATH"; source '${folder}/completion.bash'
      COMP_WORDS=(losant-usage run --stream 'payload_t'); COMP_CWORD=3; _losant_usage
      printf '%s\\n' "\${COMPREPLY[@]}"; complete -p losant-usage`;
    expect(await startProcess('bash', ['--norc', '-c', ask], {}).ended).toEqual({
      code: 0,
      signal: null,
      stdout: 'payload_totals\ncomplete -o default -F _losant_usage losant-usage\n',
      stderr: '',
    });
  });
});

it.each(['zsh', 'fish'])('%s has a script that asks the program too', async (shell) => {
  const { code, stdout } = await runProgram(['completion', shell], {});
  expect(code).toBe(0);
  expect(stdout).toContain('losant-usage complete -- ');
});
