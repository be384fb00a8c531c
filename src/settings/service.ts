import type { Reading } from './instance.ts';
import { type Problem, quote } from './problems.ts';
import { readSecret, tokenProblem } from './secrets.ts';
import { LOOPBACK, readHost, readNumber } from './values.ts';

/** The server of health, metrics and pages. */
export interface HttpConfig {
  readonly host: string;
  /** 0: no server. */
  readonly port: number;
  readonly token: string | null;
}

const HOST = '127.0.0.1';
const PORT = 9464;

/** Beyond guessing over the network. */
const SHORTEST_TOKEN = 16;

export const DATABASE_REMEDY =
  'set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server';

/** Checks the form alone, so that whoever connects can say more. */
export function readDatabaseUrl(reading: Reading, isNeeded: boolean): string | null {
  const { problems } = reading;
  const secret = readSecret('DATABASE_URL', { ...reading, emptyIsUnset: true });
  if (!secret.ok) {
    problems.push(secret.problem);
    return null;
  }
  const { name, text } = secret;
  if (text === null) {
    if (isNeeded) problems.push({ name, problem: 'is not set', remedy: DATABASE_REMEDY });
    return null;
  }
  const url = text.trim();
  if (/^(postgres|postgresql):\/\/\S+$/i.test(url) || /^embedded:[^\r\n]+$/.test(url)) return url;
  const problem = url === 'embedded:' ? 'is embedded: without a folder' : 'is not a database URL (not shown)';
  problems.push({ name, problem, remedy: DATABASE_REMEDY });
  return null;
}

export function readHeartbeatUrl(reading: Reading): string | null {
  const { problems } = reading;
  const secret = readSecret('HEARTBEAT_URL', { ...reading, emptyIsUnset: true });
  if (!secret.ok) problems.push(secret.problem);
  if (!secret.ok || secret.text === null) return null;
  const url = secret.text.trim();
  const problem = heartbeatProblem(url);
  if (problem === null) return url;
  problems.push({ name: secret.name, ...problem });
  return null;
}

function heartbeatProblem(url: string): Pick<Problem, 'problem' | 'remedy'> | null {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || (parsed.protocol !== 'https:' && parsed.protocol !== 'http:')) {
    const remedy = 'use the whole address that your monitor gives, beginning with https://';
    return { problem: 'is not an http or https URL (not shown)', remedy };
  }
  if (parsed.username === '' && parsed.password === '') return null;
  const remedy = 'use an address that needs no login';
  return { problem: 'has a user name or password in it, which cannot be sent', remedy };
}

/** The server's settings, with a warning if it can be reached from elsewhere without a token. */
export function readHttp(reading: Reading): { http: HttpConfig; warning: string | null } {
  const { env, problems } = reading;
  const hostRemedy = 'use 127.0.0.1, or 0.0.0.0 to be reached from elsewhere';
  const hostSetting = { name: 'HTTP_HOST', text: env['HTTP_HOST'] };
  const host = readHost(hostSetting, { port: false, remedy: hostRemedy }, problems) ?? HOST;
  const portRule = { min: 0, max: 65_535, remedy: 'use e.g. 9464, or 0 for no server' };
  const port = readNumber({ name: 'HTTP_PORT', text: env['HTTP_PORT'] }, portRule, problems) ?? PORT;
  const token = readHttpToken(reading);
  const isOpen = port !== 0 && token === null && !LOOPBACK.test(host) && host !== '::1';
  const warning = `HTTP_HOST=${quote(host)} without HTTP_TOKEN: whoever reaches port ${port} can read usage; set HTTP_TOKEN`;
  return { http: { host, port, token }, warning: isOpen ? warning : null };
}

function readHttpToken(reading: Reading): string | null {
  const { problems } = reading;
  const secret = readSecret('HTTP_TOKEN', { ...reading, emptyIsUnset: false });
  if (!secret.ok) problems.push(secret.problem);
  if (!secret.ok || secret.text === null) return null;
  const problem = tokenProblem(secret.name, secret.text, SHORTEST_TOKEN);
  if (problem !== null) problems.push(problem);
  return secret.text;
}
