import { styleText } from 'node:util';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import { AppError } from './errors.ts';
import { escapeControls, escapeJson, getStackFrames } from './terminal/text.ts';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** A level of pino, or `silent`. */
  readonly level: string;
  /** Whether lines are formatted for a terminal instead of as JSON. */
  readonly pretty: boolean;
  /** Stderr, because stdout carries results. */
  readonly destination: DestinationStream;
}

const CENSOR = '[redacted]';

/** Matches keys whose value is never printed, in lower case and without `_` and `-`. */
const SECRET_KEY =
  /(token|password|passwd|secret|authorization|cookie|apikey|databaseurl|heartbeaturl|connectionstring)$/;

/** Deeper than anything that is logged on purpose. */
const MAX_DEPTH = 6;

/**
 * Creates a logger that writes one JSON line per event, with an ISO time in UTC. No line shows a secret: not under the
 * key of a secret, in properties of an error or of a class instance such as a pool, in a URL or in a bearer header.
 */
export function createLogger({ level, pretty, destination }: LoggerOptions): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => toPlainMap(fields, 0) },
      // The formatter above has already converted the error, so pino's own serializer is replaced.
      serializers: { err: (fields: unknown) => fields },
      hooks: { streamWrite: scrubLine },
    },
    // Written synchronously: a line that waits is lost when the process exits.
    pretty ? { write: (line) => destination.write(formatLine(line)) } : destination,
  );
}

const COLORS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  fatal: 'red',
  error: 'red',
  warn: 'yellow',
  info: 'green',
};

function formatLine(text: string): string {
  // A logged value may contain anything, so its control characters are escaped; those of the colors are added below.
  const escape = (_key: string, value: unknown) => (typeof value === 'string' ? escapeControls(value) : value);
  const { level, time, msg = '', ...fields } = JSON.parse(text, escape) as Record<string, string>;
  const levelText = styleText(COLORS[level ?? ''] ?? 'gray', (level ?? '').toUpperCase(), { validateStream: false });
  const lines = Object.entries(fields).map(([key, value]: [string, unknown]) => {
    const valueText = typeof value === 'string' ? value : JSON.stringify(value, null, 2).replaceAll('\n', '\n    ');
    return `    ${key}: ${valueText}\n`;
  });
  return `[${(time ?? '').slice(11, 19)}Z] ${levelText}: ${msg}\n${lines.join('')}`;
}

/**
 * Returns what may be logged of an error: kind and hint of an AppError, the stack of a bug, and the chain of causes.
 * Other properties are dropped, because they may contain requests with their headers or URLs with their passwords.
 */
function toLogFields(error: Error, depth = 0): Record<string, unknown> {
  const { name, message, cause } = error;
  const hasCode = 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number');
  const isAppError = error instanceof AppError;
  return {
    name,
    message,
    ...(hasCode ? { code: error.code } : {}),
    ...(isAppError ? { kind: error.kind, hint: error.hint } : {}),
    ...(cause instanceof Error && depth < MAX_DEPTH ? { cause: toLogFields(cause, depth + 1) } : {}),
    ...(isAppError || depth > 0 ? {} : { stack: getStackFrames(error).map((each) => each.trim()) }),
  };
}

function toPlainValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return toLogFields(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth >= MAX_DEPTH) return '[truncated]';
  if (Array.isArray(value)) return value.map((item: unknown) => toPlainValue(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return toPlainMap(value, depth);
  return `[${value.constructor.name}]`;
}

function toPlainMap(map: object, depth: number): Record<string, unknown> {
  const fields = Object.entries(map).map(([key, value]: [string, unknown]) => {
    const isSecret = value != null && SECRET_KEY.test(key.replaceAll(/[_-]/g, '').toLowerCase());
    return [key, isSecret ? CENSOR : toPlainValue(value, depth + 1)] as const;
  });
  return Object.fromEntries(fields);
}

/** The last safeguard: removes bearer tokens and the credentials in URLs, and escapes control characters. */
function scrubLine(line: string): string {
  return `${escapeJson(line.trimEnd())}\n`
    .replaceAll(/\bBearer\s+[\w.~+/=-]{8,}/gi, `Bearer ${CENSOR}`)
    .replaceAll(/:\/\/(?:[^\s"\\/]|\\["\\])*@/g, `://${CENSOR}@`);
}
