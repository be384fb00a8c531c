/** Reads the files of a proof pack. They are untrusted: type, size, hash and CSV form are checked. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../files/atomic-file.ts';
import type { Manifest } from './manifest.ts';

/** A file of a pack is not as it should be; the message says why. */
export class FileProblem extends Error {}

/** Throws FileProblem for a link, a device or a pipe: reading one may never end. */
async function openRegularFile(path: string): Promise<FileHandle> {
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

/** Throws FileProblem for a file of more than `maxBytes`. */
export async function readSmallFile(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openRegularFile(path);
  const { size } = await file.stat();
  if (size > maxBytes) throw new FileProblem(`is too large (${size} bytes)`);
  return await file.readFile();
}

const CHUNK_BYTES = 131_072;

/**
 * Yields the bytes of a listed file in one reused buffer; copy what must survive the next chunk. Throws
 * FileProblem for a wrong size before reading, and for a wrong hash after the last chunk.
 */
export async function* readListedFile(
  { path, manifest }: { readonly path: string; readonly manifest: Manifest },
  name: string,
): AsyncGenerator<Uint8Array> {
  const entry = manifest.files.find((each) => each.name === name);
  await using file = await openRegularFile(join(path, name));
  const { size } = await file.stat();
  if (size !== entry?.bytes) throw new FileProblem(`was changed: it has ${size} bytes instead of ${entry?.bytes}`);
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
const MAX_RECORD_LENGTH = 1_000_000;

const FIELD = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;

/**
 * Yields the records of a CSV file in pages, with every field as text, as the sqlite3 shell does. Throws FileProblem
 * if it is not valid CSV. A record without quotes is split at its commas, which takes a tenth of the time.
 */
export async function* readRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[][]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let remainder = '';
  // The beginning of a record with a line break inside quotes.
  let partialLine = '';
  for await (const chunk of chunks) {
    const lines = `${remainder}${decoder.decode(chunk, { stream: true })}`.split('\n');
    remainder = lines.pop() ?? '';
    const records: string[][] = [];
    for (const line of lines) {
      const hasOddQuotes = line.includes('"') && line.split('"').length % 2 === 0;
      const isInsideQuotes = (partialLine === '') === hasOddQuotes;
      const record = `${partialLine}${line}`;
      partialLine = isInsideQuotes ? `${record}\n` : '';
      if (!isInsideQuotes) records.push(parseRecord(record.endsWith('\r') ? record.slice(0, -1) : record));
    }
    yield records;
    if (remainder.length + partialLine.length > MAX_RECORD_LENGTH)
      throw new FileProblem('is not valid CSV: a line is too long, or a quote is not closed');
  }
  if (partialLine !== '' || remainder !== '') yield [parseRecord(`${partialLine}${remainder}`)];
}

function parseRecord(record: string): string[] {
  if (!record.includes('"')) return record.split(',');
  const fields: string[] = [];
  FIELD.lastIndex = 0;
  for (;;) {
    const match = FIELD.exec(record);
    if (match === null) throw new FileProblem(`is not valid CSV: bad quoting in ${record.slice(0, 100)}`);
    const [, quoted, plain = '', end] = match;
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '') return fields;
  }
}
