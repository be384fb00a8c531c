import { expect, test } from 'vitest';
import { type Env, ONE, secretsFolder } from './settings.ts';

/** [what is wrong, the settings file, the variables beside it, the lines of the message] */
const WRONG: readonly (readonly [string, string, Env, readonly string[]])[] = [
  [
    'a wrong id of an organization',
    `${ONE}    orgs: [acme]`,
    {},
    [
      'DIR/usage.yaml: instances[0].orgs="acme" is not an organization id; use all, or list the 24 hex characters of each organization',
    ],
  ],
  [
    'organizations without any',
    `${ONE}    orgs: []`,
    {},
    [
      'DIR/usage.yaml: instances[0].orgs is empty; use all, or list the 24 hex characters of each organization',
    ],
  ],
  [
    'an empty orgs',
    `${ONE}    orgs:`,
    {},
    [
      'DIR/usage.yaml: instances[0].orgs is empty; use all, or list the 24 hex characters of each organization',
    ],
  ],
  [
    'organizations by an unknown rule',
    `${ONE}    orgs: { name: [acme] }`,
    {},
    ['DIR/usage.yaml: instances[0].orgs has an unknown key: name; did you mean names?'],
  ],
  [
    'a rule that is a text',
    `${ONE}    orgs: { names: acme }`,
    {},
    [
      'DIR/usage.yaml: instances[0].orgs.names="acme" is not a list; compare with deploy/losant-usage.example.yaml',
    ],
  ],
  [
    'lists in a list of organizations',
    `${ONE}    orgs: [[575ed18f7ae143cd83dc4aa6]]`,
    {},
    ['DIR/usage.yaml: instances[0].orgs[0] is not a text; compare with deploy/losant-usage.example.yaml'],
  ],
  [
    'a rule without entries',
    `${ONE}    orgs: { names: [], tags: [], exclude: [] }`,
    {},
    [
      'DIR/usage.yaml: instances[0].orgs.names is empty; write something there, or remove it',
      'DIR/usage.yaml: instances[0].orgs.tags is empty; write something there, or remove it',
    ],
  ],
  [
    'a rule with an empty entry',
    `${ONE}    orgs: { exclude: [""] }`,
    {},
    ['DIR/usage.yaml: instances[0].orgs.exclude[0] is empty; write something there, or remove it'],
  ],
  [
    'a tag without a key',
    `${ONE}    orgs: { tags: ["=gold"] }`,
    {},
    ['DIR/usage.yaml: instances[0].orgs.tags[0]="=gold" has no key; write key=value, or key for any value'],
  ],
  [
    'an unknown stream',
    `${ONE}    streams: [device_count]`,
    {},
    ['DIR/usage.yaml: instances[0].streams="device_count" is not known; did you mean device_counts?'],
  ],
  [
    'streams as a text',
    `${ONE}    streams: device_counts`,
    {},
    [
      'DIR/usage.yaml: instances[0].streams="device_counts" is not a list; compare with deploy/losant-usage.example.yaml',
    ],
  ],
  [
    'a rate of words',
    `${ONE}    requestsPerSecond: fast`,
    {},
    [
      'DIR/usage.yaml: instances[0].requestsPerSecond="fast" is not a number from 0.1 to 10000 (requests per second); use e.g. 20',
    ],
  ],
  [
    'no requests at once',
    `${ONE}    requestConcurrency: 0`,
    {},
    [
      'DIR/usage.yaml: instances[0].requestConcurrency="0" is not a whole number from 1 to 1000 (requests at once); use e.g. 8',
    ],
  ],
  [
    'plain http',
    `${ONE}    apiUrl: http://losant.example.com`,
    {},
    [
      'DIR/usage.yaml: instances[0].apiUrl="http://losant.example.com" would send the token unencrypted; use https; plain http is only for this machine',
    ],
  ],
  [
    'a schedule in both places',
    `${ONE}schedule: 15 * * * *`,
    { SCHEDULE: '45 * * * *' },
    ['SCHEDULE is set, but so is DIR/usage.yaml: schedule; keep one of them'],
  ],
  [
    'a schedule with a time zone',
    `${ONE}schedule: TZ=Europe/Berlin 15 * * * *`,
    {},
    [
      'DIR/usage.yaml: schedule="TZ=Europe/Berlin 15 * * * *" has a time zone, but wake-ups are in UTC: a local zone skips or repeats an hour each year; remove it and write the hours in UTC',
    ],
  ],
  [
    'checkpoints that are words',
    `${ONE}readAtHours: [0, soon]`,
    {},
    [
      'DIR/usage.yaml: readAtHours="soon" is not a whole number from 0 to 87600 (hours after the end of a day); use e.g. 0,6,24,48,72,168,720',
    ],
  ],
  [
    'no checkpoints',
    `${ONE}readAtHours: []`,
    {},
    ['DIR/usage.yaml: readAtHours is empty; use e.g. 0,6,24,48,72,168,720'],
  ],
  [
    'a final age after the last checkpoint',
    `${ONE}readAtHours: [0, 24]\nfinalAtHours: 48`,
    {},
    [
      'DIR/usage.yaml: finalAtHours="48" is later than the last checkpoint, 24 hours: no day would become final; use at most 24, or add 48 to DIR/usage.yaml: readAtHours',
    ],
  ],
  [
    'a horizon before the last checkpoint',
    `${ONE}horizonDays: 7`,
    {},
    [
      'DIR/usage.yaml: horizonDays="7" ends before the last checkpoint, 720 hours; use at least 31, or remove checkpoints from DIR/usage.yaml: readAtHours',
    ],
  ],
  [
    'checkpoints that end before the usual final age',
    `${ONE}readAtHours: [0, 24]`,
    {},
    [
      'DIR/usage.yaml: finalAtHours (not set: 72) is later than the last checkpoint, 24 hours: no day would become final; use at most 24, or add 72 to DIR/usage.yaml: readAtHours',
    ],
  ],
  [
    'a final age in the environment that does not fit the checkpoints of the file',
    `${ONE}readAtHours: [0, 24]`,
    { FINAL_AT_HOURS: '48' },
    [
      'FINAL_AT_HOURS="48" is later than the last checkpoint, 24 hours: no day would become final; use at most 24, or add 48 to DIR/usage.yaml: readAtHours',
    ],
  ],
  [
    'billing periods in both places',
    `${ONE}billingPeriods: losant`,
    { BILLING_PERIODS: 'calendar' },
    ['BILLING_PERIODS is set, but so is DIR/usage.yaml: billingPeriods; keep one of them'],
  ],
  [
    'an instance by environment too',
    ONE,
    { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', LOSANT_API_TOKEN: 'CANARY', STREAMS: 'device_counts' },
    [
      'LOSANT_INSTANCE_ID is set, but instances are described by the settings file; remove it and use id there',
      'LOSANT_API_TOKEN is set, but instances are described by the settings file; remove it and use tokenVariable there',
      'STREAMS is set, but instances are described by the settings file; remove it and use streams there',
    ],
  ],
  [
    'an unknown variable',
    ONE,
    { LOSANT_API_TOKEN_EU: 'CANARY' },
    ['LOSANT_API_TOKEN_EU is not a setting; did you mean LOSANT_API_TOKEN?'],
  ],
];

const settings = secretsFolder();

test.each(WRONG)('%s is refused', (_, yaml, env, lines) => {
  expect(settings.refusal(env, yaml)).toEqual(lines);
});
