import { SettingsError } from '../errors.ts';
import type { Part } from '../files/column.ts';
import type { FormatName } from '../files/formats.ts';
import { type FileFacts, WholeFile } from '../files/whole-file.ts';
import type { BaseContext } from './command.ts';

/** Where a file goes. */
export interface Target {
  /** False if nobody reads it any more. */
  write(part: Part): Promise<boolean>;
  /** Null for stdout, which is no file. */
  finish(): Promise<FileFacts | null>;
  /** Leaves nothing half-written behind. */
  discard(): Promise<void>;
}

/** Throws SettingsError for a file that cannot be written, and for a terminal that cannot show the format. */
export async function openTarget(
  { output, newId }: Pick<BaseContext, 'output' | 'newId'>,
  { out, format }: { readonly out: string | null; readonly format: FormatName },
): Promise<Target> {
  if (out !== null) return await openFile(out, newId());
  if (format === 'parquet' && output.isShown) {
    throw new SettingsError('A Parquet file is not text, which a terminal could show', {
      hint: 'name the file with --out',
    });
  }
  return { write: output.writePart, finish: () => Promise.resolve(null), discard: () => Promise.resolve() };
}

async function openFile(path: string, id: string): Promise<Target> {
  const file = await WholeFile.create(path, id);
  return {
    write: async (part) => {
      await file.write(part);
      return true;
    },
    finish: () => file.finish(),
    discard: () => file.discard(),
  };
}
