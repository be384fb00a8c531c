/** Reads the files of a proof pack. They are untrusted: type, size, hash and CSV form are checked. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../files/atomic-file.ts';
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
    if (code === 'ELOOP' || code === 'ENXIO') throw new FileProblem('is not a regular file');
    if (code === 'EACCES') throw new FileProblem('is not readable by this user');
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new FileProblem('is not a regular file');
}

/** Reads a file of at most so many bytes. Throws FileProblem for a larger one. */
export async function readSmall(path: string, most: number): Promise<Buffer> {
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size > most) throw new FileProblem(`is too large (${size} bytes)`);
  return await file.readFile();
}

const CHUNK_BYTES = 131_072;

/**
 * Yields the bytes of a listed file in one reused buffer; copy what must survive the next chunk. Throws
 * FileProblem for a wrong size before reading, and for a wrong hash after the last chunk.
 */
export async function* readNamed(
  { place, manifest }: { readonly place: string; readonly manifest: Manifest },
  name: string,
): AsyncGenerator<Uint8Array> {
  const entry = manifest.files.find((each) => each.name === name);
  await using file = await openRegular(join(place, name));
  const { size } = await file.stat();
  if (size !== entry?.bytes)
    throw new FileProblem(`was changed: it has ${size} bytes instead of ${entry?.bytes}`);
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== entry.sha256) throw new FileProblem('was changed: its SHA-256 does not match');
}

/** Bounds a record whose quote is never closed. */
const RECORD_MAX = 1_000_000;

const CELL = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;

/**
 * Yields the records of CSV, in pages, as the sqlite3 shell reads them: every cell as text, the first record too.
 * Throws FileProblem for what is no CSV. A record without quotes is split at its commas, which takes a tenth of the
 * time.
 */
export async function* readRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[][]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let remainder = '';
  // The beginning of a record whose quotes go over a line end.
  let partialLine = '';
  for await (const chunk of chunks) {
    const lines = `${remainder}${decoder.decode(chunk, { stream: true })}`.split('\n');
    remainder = lines.pop() ?? '';
    const records: string[][] = [];
    for (const line of lines) {
      const isOdd = line.includes('"') && line.split('"').length % 2 === 0;
      const isInside = (partialLine === '') === isOdd;
      const record = `${partialLine}${line}`;
      partialLine = isInside ? `${record}\n` : '';
      if (!isInside) records.push(parseRecord(record.endsWith('\r') ? record.slice(0, -1) : record));
    }
    yield records;
    if (remainder.length + partialLine.length > RECORD_MAX)
      throw new FileProblem('is not valid CSV: a line is too long, or a quote is not closed');
  }
  if (partialLine !== '' || remainder !== '') yield [parseRecord(`${partialLine}${remainder}`)];
}

function parseRecord(record: string): string[] {
  if (!record.includes('"')) return record.split(',');
  const cells: string[] = [];
  CELL.lastIndex = 0;
  for (;;) {
    const match = CELL.exec(record);
    if (match === null) throw new FileProblem(`is not valid CSV: bad quoting in ${record.slice(0, 100)}`);
    const [, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '') return cells;
  }
}
