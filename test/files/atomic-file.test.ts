import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { SettingsError } from '../../src/errors.ts';
import { writeAtomicFile } from '../../src/files/atomic-file.ts';
import { createTestFolder } from '../support/folders.ts';

let folder: string;
beforeEach(() => {
  folder = createTestFolder();
});

test('replaces an existing file once it is complete, and not before', async () => {
  const path = join(folder, 'a.csv');
  writeFileSync(path, 'before');
  const parts = async function* () {
    yield 'é,';
    yield new Uint8Array([0x31, 0x0a]);
    expect(readFileSync(path, 'utf8')).toBe('before');
    expect(readdirSync(folder).toSorted()).toEqual(['.a.csv.id.unfinished', 'a.csv']);
  };
  const sha256 = 'e5cd851de011a15d713ad835d140049602cbb88cbe48bd353e4198144e4b1d27';
  expect(await writeAtomicFile(path, 'id', parts())).toEqual({ bytes: 5, sha256 });
  expect(readFileSync(path, 'utf8')).toBe('é,1\n');
  expect(readdirSync(folder)).toEqual(['a.csv']);
});

test('is on the disk before it has its name', async () => {
  const path = join(folder, 'a.csv');
  await using anyFile = await open(folder);
  const prototype = Object.getPrototypeOf(anyFile) as FileHandle;
  const namesAtSync: string[][] = [];
  vi.spyOn(prototype, 'sync').mockImplementation(async () => {
    namesAtSync.push(readdirSync(folder));
    await Promise.resolve();
  });
  onTestFinished(() => void vi.restoreAllMocks());
  await writeAtomicFile(path, 'id', Readable.from(['1\n']));
  expect(namesAtSync).toEqual([['.a.csv.id.unfinished']]);
});

test.each([
  ['nowhere/a.csv', /nowhere\/a\.csv cannot be written: folder \S+nowhere does not exist$/, /^give a path/],
  ['folder', /folder is a folder, not a file$/, /give a file name/],
  [
    'file/a.csv',
    /file\/a\.csv cannot be written: ENOTDIR: not a directory$/,
    /that this user can write to, on a disk with free space$/,
  ],
  ['/dev/full', /^\/dev\/full is a device or pipe, not a file$/, /give a file name/],
  ['/proc/a.csv', /^\/proc\/a\.csv cannot be written: /, /./],
])('is rejected at the path %s', async (path, message, hint) => {
  mkdirSync(join(folder, 'folder'));
  writeFileSync(join(folder, 'file'), '');
  const target = path.startsWith('/') ? path : join(folder, path);
  const error: unknown = await writeAtomicFile(target, 'id', Readable.from([])).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SettingsError);
  expect((error as SettingsError).message).toMatch(message);
  expect((error as SettingsError).hint).toMatch(hint);
});
