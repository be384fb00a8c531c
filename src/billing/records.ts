import { openRegular, readChunks } from './open-packs.ts';

/** The longest record, against a quote that is never closed. */
const RECORD_MAX = 1_000_000;

const CELL = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;

/**
 * Yields the records of a CSV file, in pages, as the sqlite3 shell reads them: every cell as text, the first
 * record too. Throws SyntaxError for quotes that are not CSV. A record without quotes is split at its commas,
 * which takes a tenth of the time.
 */
export async function* readRecords(path: string): AsyncGenerator<string[][]> {
  await using file = await openRegular(path);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  // The beginning of a record whose quotes go over a line end.
  let open = '';
  for await (const chunk of readChunks(file)) {
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
      throw new SyntaxError('it is too long, or a quote is not closed');
  }
  if (open !== '' || rest !== '') yield [parseRecord(`${open}${rest}`)];
}

function parseRecord(record: string): string[] {
  if (!record.includes('"')) return record.split(',');
  const cells: string[] = [];
  CELL.lastIndex = 0;
  for (;;) {
    const match = CELL.exec(record);
    if (match === null) throw new SyntaxError('its quotes are wrong');
    const [, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '') return cells;
  }
}
