import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload, type SourceOrigin } from 'node:module';

/**
 * Returns only the frames, because the first lines of a stack may repeat the error's properties. A position in a bundle
 * becomes the one in its source, which the map next to the bundle knows.
 */
export function getStackFrames({ stack = '' }: Error): string[] {
  const frames = stack.split('\n').filter((each) => /^ {4}at /.test(each));
  return frames.map((frame) => frame.replace(/file:\S+\/dist\/[^/]+\.js:\d+:\d+/, findSource));
}

function findSource(position: string): string {
  const [, url = '', line, column] = /^(.*):(\d+):(\d+)$/.exec(position) ?? [];
  try {
    const map = new SourceMap(JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')) as SourceMapPayload);
    const { fileName, lineNumber, columnNumber } = map.findOrigin(Number(line), Number(column)) as SourceOrigin;
    return `${fileName.replace(/^(\.\.\/)+/, '')}:${lineNumber}:${columnNumber}`;
  } catch {
    return position;
  }
}
