import { styleText } from 'node:util';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import { AppError, getStackFrames } from './errors.ts';
import { escapeControls, escapeJson } from './terminal/text.ts';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** A level of pino, or `silent`. */
  readonly level: string;
  /** Whether lines are formatted for people on a terminal instead of as JSON. */
  readonly pretty: boolean;
  /** The destination of lines: stderr, because stdout carries results. */
  readonly destination: DestinationStream;
}

const CENSOR = '[redacted]';

/** Keys whose value is never printed, in lower case and without `_` and `-`. */
const SECRET_KEY =
  /(token|password|passwd|secret|authorization|cookie|apikey|databaseurl|heartbeaturl|connectionstring)$/;

/** The deepest nesting that is logged: deeper than anything logged on purpose, and a bound for anything else. */
const DEEPEST = 6;

/**
 * Creates a logger that writes one JSON line per event, with an ISO time in UTC. No line shows
 * a secret: not under a secret's key, in an error's properties, in an object of a class (a request, a pool),
 * in a URL or in a bearer header.
 */
export function createLogger({ level, pretty, destination }: LoggerOptions): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => showMap(fields, 0) },
      // The formatter above has already described the error, so pino's own serializer is replaced.
      serializers: { err: (shown: unknown) => shown },
      hooks: { streamWrite: scrubLine },
    },
    // In the same call, so that no line is lost before an exit.
    pretty ? { write: (line) => destination.write(formatLine(line)) } : destination,
  );
}

const COLORS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  fatal: 'red',
  error: 'red',
  warn: 'yellow',
  info: 'green',
};

/** Returns a line for people. */
function formatLine(text: string): string {
  // A logged value may contain anything, so control characters are escaped; only the colours keep theirs.
  const escape = (_key: string, value: unknown) =>
    typeof value === 'string' ? escapeControls(value) : value;
  const { level, time, msg = '', ...fields } = JSON.parse(text, escape) as Record<string, string>;
  const name = styleText(COLORS[level ?? ''] ?? 'gray', (level ?? '').toUpperCase(), {
    validateStream: false,
  });
  const lines = Object.entries(fields).map(([key, value]: [string, unknown]) => {
    const valueText =
      typeof value === 'string' ? value : JSON.stringify(value, null, 2).replaceAll('\n', '\n    ');
    return `    ${key}: ${valueText}\n`;
  });
  return `[${(time ?? '').slice(11, 19)}Z] ${name}: ${msg}\n${lines.join('')}`;
}

/**
 * Returns what may be shown of an error: the kind and the next step of one of ours, the place of a defect, and the
 * chain of causes. Other properties are never shown, because they contain requests with their headers or URLs with
 * their passwords.
 */
function toLogFields(error: Error, depth = 0): Record<string, unknown> {
  const { name, message, cause } = error;
  const code = 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number');
  const isOurs = error instanceof AppError;
  return {
    name,
    message,
    ...(code ? { code: error.code } : {}),
    ...(isOurs ? { kind: error.kind, hint: error.hint } : {}),
    ...(cause instanceof Error && depth < DEEPEST ? { cause: toLogFields(cause, depth + 1) } : {}),
    ...(isOurs || depth > 0 ? {} : { stack: getStackFrames(error).map((each) => each.trim()) }),
  };
}

function show(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return toLogFields(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth >= DEEPEST) return '[truncated]';
  if (Array.isArray(value)) return value.map((item: unknown) => show(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return showMap(value, depth);
  return `[${value.constructor.name}]`;
}

function showMap(map: object, depth: number): Record<string, unknown> {
  const fields = Object.entries(map).map(([key, value]: [string, unknown]) => {
    const isSecret = value != null && SECRET_KEY.test(key.replaceAll(/[_-]/g, '').toLowerCase());
    return [key, isSecret ? CENSOR : show(value, depth + 1)] as const;
  });
  return Object.fromEntries(fields);
}

/**
 * Removes secrets that a message may quote, as the last safeguard: a bearer token, or the part of
 * a URL before its host. Characters that could control a terminal are escaped.
 */
function scrubLine(line: string): string {
  return `${escapeJson(line.trimEnd())}\n`
    .replaceAll(/\bBearer\s+[\w.~+/=-]{8,}/gi, `Bearer ${CENSOR}`)
    .replaceAll(/:\/\/(?:[^\s"\\/]|\\["\\])*@/g, `://${CENSOR}@`);
}
