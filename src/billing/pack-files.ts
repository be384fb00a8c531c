/** The files of a proof pack in a folder, of which nothing is believed. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../files/whole-file.ts';
import type { Manifest } from './manifest.ts';

/** A problem of one file. */
export class FileProblem extends Error {}

/** Opens a regular file, and no link, device or pipe, which may never end. Throws FileProblem for these. */
async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') throw new FileProblem('is missing');
    if (code === 'ELOOP' || code === 'ENXIO') throw new FileProblem('is no regular file');
    if (code === 'EACCES') throw new FileProblem('cannot be read by this user');
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new FileProblem('is no regular file');
}

/** Reads a file of at most so many bytes. Throws FileProblem for a larger one. */
export async function readSmall(path: string, most: number): Promise<Buffer> {
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size > most) throw new FileProblem(`has ${size} bytes: too many`);
  return await file.readFile();
}

const CHUNK_BYTES = 131_072;

/**
 * Yields the bytes of a file that a manifest names, in one buffer, whose bytes are others with each chunk. Throws
 * FileProblem for another size, before it reads, and for another hash, when all was read.
 */
export async function* readNamed(
  { place, manifest }: { readonly place: string; readonly manifest: Manifest },
  name: string,
): AsyncGenerator<Uint8Array> {
  const named = manifest.files.find((each) => each.name === name);
  await using file = await openRegular(join(place, name));
  const { size } = await file.stat();
  if (size !== named?.bytes)
    throw new FileProblem(`was changed: it has ${size} bytes instead of ${named?.bytes}`);
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== named.sha256) throw new FileProblem('was changed: its SHA-256 is another');
}

/** The longest record, against a quote that is never closed. */
const RECORD_MAX = 1_000_000;

const CELL = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;

/**
 * Yields the records of CSV, in pages, as the sqlite3 shell reads them: every cell as text, the first record too.
 * Throws FileProblem for what is no CSV. A record without quotes is split at its commas, which takes a tenth of the
 * time.
 */
export async function* readRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[][]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  // The beginning of a record whose quotes go over a line end.
  let open = '';
  for await (const chunk of chunks) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n');
    rest = lines.pop() ?? '';
    const records: string[][] = [];
    for (const line of lines) {
      const isOdd = line.includes('"') && line.split('"').length % 2 === 0;
      const isInside = (open === '') === isOdd;
      const record = `${open}${line}`;
      open = isInside ? `${record}\n` : '';
      if (!isInside) records.push(parseRecord(record.endsWith('\r') ? record.slice(0, -1) : record));
    }
    yield records;
    if (rest.length + open.length > RECORD_MAX)
      throw new FileProblem('is no CSV: a line is too long, or a quote is not closed');
  }
  if (open !== '' || rest !== '') yield [parseRecord(`${open}${rest}`)];
}

function parseRecord(record: string): string[] {
  if (!record.includes('"')) return record.split(',');
  const cells: string[] = [];
  CELL.lastIndex = 0;
  for (;;) {
    const match = CELL.exec(record);
    if (match === null) throw new FileProblem(`is no CSV: the quotes of ${record.slice(0, 100)} are wrong`);
    const [, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '') return cells;
  }
}
