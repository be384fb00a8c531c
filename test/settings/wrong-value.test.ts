import { expect, test } from 'vitest';
import { ENOUGH, type Env, secretsFolder } from './settings.ts';

/** [what is wrong, the variables beside enough right ones, the lines of the message] */
const WRONG: readonly (readonly [string, Env, readonly string[]])[] = [
  [
    'no streams',
    { STREAMS: '' },
    ['STREAMS is empty; use e.g. device_counts,notebook_minutes,payload_totals,payload_sources'],
  ],
  [
    'an unknown stream',
    { STREAMS: 'device_counts,messages' },
    [
      'STREAMS="messages" is not known; use device_counts, notebook_minutes, payload_totals, payload_sources or payload_hours',
    ],
  ],
  [
    'a misspelled stream',
    { STREAMS: 'devicecounts' },
    ['STREAMS="devicecounts" is not known; did you mean device_counts?'],
  ],
  [
    'a stream twice',
    { STREAMS: 'device_counts,device_counts' },
    ['STREAMS="device_counts" is listed twice; list each once'],
  ],
  [
    'a schedule of words',
    { SCHEDULE: 'every hour' },
    [
      'SCHEDULE="every hour" is not a cron expression of five fields; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule with seconds',
    { SCHEDULE: '0 15 * * * *' },
    [
      'SCHEDULE="0 15 * * * *" is not a cron expression of five fields; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule at minute 75',
    { SCHEDULE: '75 * * * *' },
    [
      'SCHEDULE="75 * * * *" is not a cron expression of five fields: see minute; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule of four fields',
    { SCHEDULE: '15 * * *' },
    [
      'SCHEDULE="15 * * *" is not a cron expression of five fields; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule for a day that no month has',
    { SCHEDULE: '15 3 31 2 *' },
    [
      'SCHEDULE="15 3 31 2 *" is not a cron expression of five fields: see dayOfMonth; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule at restarts',
    { SCHEDULE: '@reboot' },
    [
      'SCHEDULE="@reboot" is not a cron expression of five fields; use e.g. "15 * * * *": a quarter past every hour, UTC',
    ],
  ],
  [
    'a schedule with a time zone',
    { SCHEDULE: 'CRON_TZ=America/New_York 15 3 * * *' },
    [
      'SCHEDULE="CRON_TZ=America/New_York 15 3 * * *" has a time zone, but wake-ups are in UTC: a local zone skips or repeats an hour each year; remove it and write the hours in UTC',
    ],
  ],
  ['no checkpoints', { READ_AT_HOURS: '' }, ['READ_AT_HOURS is empty; use e.g. 0,6,24,48,72,168,720']],
  [
    'a negative checkpoint',
    { READ_AT_HOURS: '-6,72' },
    [
      'READ_AT_HOURS="-6" is not a whole number from 0 to 87600 (hours after the end of a day); use e.g. 0,6,24,48,72,168,720',
    ],
  ],
  [
    'checkpoints with a fraction and a word',
    { READ_AT_HOURS: '0,1.5,soon,72' },
    [
      'READ_AT_HOURS="1.5" is not a whole number from 0 to 87600 (hours after the end of a day); use e.g. 0,6,24,48,72,168,720',
      'READ_AT_HOURS="soon" is not a whole number from 0 to 87600 (hours after the end of a day); use e.g. 0,6,24,48,72,168,720',
    ],
  ],
  [
    'a final age of words',
    { FINAL_AT_HOURS: '3 days' },
    [
      'FINAL_AT_HOURS="3 days" is not a whole number from 0 to 87600 (hours after the end of a day); use e.g. 72',
    ],
  ],
  [
    'a final age after the last checkpoint',
    { READ_AT_HOURS: '0,24', FINAL_AT_HOURS: '48' },
    [
      'FINAL_AT_HOURS="48" is later than the last checkpoint, 24 hours: no day would become final; use at most 24, or add 48 to READ_AT_HOURS',
    ],
  ],
  [
    'checkpoints that end before the usual final age',
    { READ_AT_HOURS: '0,24' },
    [
      'FINAL_AT_HOURS (not set: 72) is later than the last checkpoint, 24 hours: no day would become final; use at most 24, or add 72 to READ_AT_HOURS',
    ],
  ],
  [
    'a horizon of no days',
    { HORIZON_DAYS: '0' },
    ['HORIZON_DAYS="0" is not a whole number from 1 to 3650 (days); use e.g. 90'],
  ],
  [
    'a horizon of eleven years',
    { HORIZON_DAYS: '4015' },
    ['HORIZON_DAYS="4015" is not a whole number from 1 to 3650 (days); use e.g. 90'],
  ],
  [
    'a horizon that ends when the last checkpoint comes',
    { HORIZON_DAYS: '30' },
    [
      'HORIZON_DAYS="30" ends before the last checkpoint, 720 hours; use at least 31, or remove checkpoints from READ_AT_HOURS',
    ],
  ],
  [
    'no requests at once',
    { REQUEST_CONCURRENCY: '0' },
    ['REQUEST_CONCURRENCY="0" is not a whole number from 1 to 1000 (requests at once); use e.g. 8'],
  ],
  [
    'too many requests at once',
    { REQUEST_CONCURRENCY: '1001' },
    ['REQUEST_CONCURRENCY="1001" is not a whole number from 1 to 1000 (requests at once); use e.g. 8'],
  ],
  [
    'no requests per second',
    { REQUESTS_PER_SECOND: '0' },
    ['REQUESTS_PER_SECOND="0" is not a number from 0.1 to 10000 (requests per second); use e.g. 20'],
  ],
  [
    'a negative rate',
    { REQUESTS_PER_SECOND: '-1' },
    ['REQUESTS_PER_SECOND="-1" is not a number from 0.1 to 10000 (requests per second); use e.g. 20'],
  ],
  [
    'a timeout in seconds',
    { REQUEST_TIMEOUT_MS: '30' },
    ['REQUEST_TIMEOUT_MS="30" is not a whole number from 100 to 600000 (milliseconds); use e.g. 30000'],
  ],
  [
    'a timeout with a unit',
    { REQUEST_TIMEOUT_MS: '30s' },
    ['REQUEST_TIMEOUT_MS="30s" is not a whole number from 100 to 600000 (milliseconds); use e.g. 30000'],
  ],
  [
    'no attempts',
    { REQUEST_ATTEMPTS: '0' },
    ['REQUEST_ATTEMPTS="0" is not a whole number from 1 to 20 (attempts); use e.g. 5'],
  ],
  [
    'a number in hex',
    { REQUEST_ATTEMPTS: '0x5' },
    ['REQUEST_ATTEMPTS="0x5" is not a whole number from 1 to 20 (attempts); use e.g. 5'],
  ],
  [
    'a host with a port',
    { HTTP_HOST: '127.0.0.1:9464' },
    ['HTTP_HOST="127.0.0.1:9464" is not a host name; use 127.0.0.1, or 0.0.0.0 to be reached from elsewhere'],
  ],
  [
    'a port beyond the last',
    { HTTP_PORT: '65536' },
    ['HTTP_PORT="65536" is not a whole number from 0 to 65535 (0: no server); use e.g. 9464'],
  ],
  [
    'an empty HTTP token',
    { HTTP_TOKEN: '' },
    [
      'HTTP_TOKEN is empty; use a longer random one, e.g. from: openssl rand -hex 32; or name its file in HTTP_TOKEN_FILE',
    ],
  ],
  [
    'a short HTTP token',
    { HTTP_TOKEN: 'CANARY-45678901' },
    ['HTTP_TOKEN is shorter than 16 characters; use a longer random one, e.g. from: openssl rand -hex 32'],
  ],
  [
    'an HTTP token with a space',
    { HTTP_TOKEN: 'CANARY CANARY CANARY' },
    [
      'HTTP_TOKEN contains whitespace, control or non-ASCII characters; give the token alone, without quotes, spaces or line breaks',
    ],
  ],
  [
    'a heartbeat that is no URL',
    { HEARTBEAT_URL: 'CANARY' },
    [
      'HEARTBEAT_URL is not an http or https URL (not shown); use the complete address that your monitor gives, beginning with https://',
    ],
  ],
  [
    'a heartbeat of another kind',
    { HEARTBEAT_URL: 'ftp://hc.example.com/CANARY' },
    [
      'HEARTBEAT_URL is not an http or https URL (not shown); use the complete address that your monitor gives, beginning with https://',
    ],
  ],
  [
    'a heartbeat with a login',
    { HEARTBEAT_URL: 'https://user:CANARY@hc.example.com' },
    ['HEARTBEAT_URL has a login in it, which cannot be sent; use an address that needs no login'],
  ],
  ['a switch that says yes', { AUTO_MIGRATE: 'yes' }, ['AUTO_MIGRATE="yes" is not known; use true or false']],
  [
    'billing periods of another kind',
    { BILLING_PERIODS: 'monthly' },
    ['BILLING_PERIODS="monthly" is not known; use calendar or losant'],
  ],
  [
    'another use of control totals',
    { CONTROL_TOTALS: 'off' },
    ['CONTROL_TOTALS="off" is not known; use block or show'],
  ],
  [
    'a log level in capitals',
    { LOG_LEVEL: 'INFO' },
    ['LOG_LEVEL="INFO" is not known; use fatal, error, warn, info, debug, trace or silent'],
  ],
  [
    'a setting of another name',
    { LOSANT_TOKEN: 'CANARY' },
    ['LOSANT_TOKEN is not a setting; did you mean LOSANT_API_TOKEN?'],
  ],
  [
    'a setting in the singular',
    { LOSANT_ORG_ID: '575ed18f7ae143cd83dc4aa6' },
    ['LOSANT_ORG_ID is not a setting; did you mean LOSANT_ORG_IDS?'],
  ],
  [
    'a setting that needs no prefix',
    { LOSANT_DATABASE_URL: 'postgres://u:CANARY@db/usage' },
    ['LOSANT_DATABASE_URL is not a setting; did you mean DATABASE_URL?'],
  ],
  [
    'a setting like no other',
    { LOSANT_COLOUR_OF_THE_CONSOLE: 'blue' },
    [
      'LOSANT_COLOUR_OF_THE_CONSOLE is not a setting; remove it; known are LOSANT_USAGE_CONFIG, LOSANT_INSTANCE_ID, LOSANT_API_TOKEN, LOSANT_API_TOKEN_FILE, LOSANT_API_URL, LOSANT_ORG_IDS, LOSANT_DOMAIN, LOSANT_ADMIN_TOKEN, LOSANT_ADMIN_TOKEN_FILE',
    ],
  ],
  [
    'a value of several lines',
    { LOG_LEVEL: 'in\nfo' },
    ['LOG_LEVEL="in\\nfo" is not known; did you mean info?'],
  ],
  [
    'a very long value',
    {
      LOG_LEVEL:
        'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    },
    [
      'LOG_LEVEL="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" (200 characters) is not known; use fatal, error, warn, info, debug, trace or silent',
    ],
  ],
  [
    'a settings file that does not exist',
    { LOSANT_INSTANCE_ID: undefined, LOSANT_API_TOKEN: undefined, LOSANT_USAGE_CONFIG: 'DIR/missing.yaml' },
    [
      'LOSANT_USAGE_CONFIG="DIR/missing.yaml" names a file that cannot be read: it does not exist; correct the path, or let this user read a file there',
    ],
  ],
];

const settings = secretsFolder();

test.each(WRONG)('%s is refused', (_, env, lines) => {
  expect(settings.refusal({ ...ENOUGH, ...env })).toEqual(lines);
});
